// Package report shows the launcher's status and the open sessions to the
// user, as a table and as JSON.
//
// The JSON is an interface that scripts use: fields are only ever added.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/launcher/activity"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// Report is the status of a group.
type Report struct {
	Generation    int64     `json:"generation"`
	Version       string    `json:"version"`
	PID           int32     `json:"pid"` // the launcher's
	StartedAt     time.Time `json:"started_at"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Restarts      int32     `json:"restarts"`
	ConfigPath    string    `json:"config_path"`
	CRISocket     string    `json:"cri_socket"`
	Members       []Member  `json:"members"`          // in start order
	Elders        []Elder   `json:"elders,omitempty"` // of earlier generations, oldest first
	History       []Restart `json:"history"`          // oldest first
	// What runtime says of itself. RuntimeError is why it says nothing; then
	// the rest is empty and Network null.
	RuntimeError string            `json:"runtime_error"`
	Operations   []Operation       `json:"operations"` // oldest first
	Quarantine   []Quarantined     `json:"quarantine"`
	Network      *activity.Network `json:"network"`
	Logs         []Log             `json:"troubled_logs"`
	DroppedBytes uint64            `json:"dropped_log_bytes"` // since streamer has started
	now          time.Time
}

// Operation is work under way in runtime.
type Operation struct {
	Operation  string  `json:"operation"`
	Stage      string  `json:"stage"`
	AgeSeconds float64 `json:"age_seconds"`
}

// Quarantined is a record that runtime cannot read.
type Quarantined struct {
	Kind   string `json:"kind"` // pods, containers or images
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Log is a container's log into which output does not go as it comes.
type Log struct {
	Pod          string `json:"pod"`
	Container    string `json:"container"`
	State        string `json:"state"` // limited, held-back or dropped
	DroppedBytes uint64 `json:"dropped_bytes"`
	Path         string `json:"path"`
	Reason       string `json:"reason"`
}

// Member is one supervised process.
type Member struct {
	Name          string     `json:"name"`
	State         string     `json:"state"`
	PID           int32      `json:"pid"` // 0 when it is not running
	Critical      bool       `json:"critical"`
	StartedAt     *time.Time `json:"started_at"` // null when it is not running
	UptimeSeconds float64    `json:"uptime_seconds"`
	Restarts      int32      `json:"restarts"`
	LastExit      string     `json:"last_exit"` // empty if none has ended
}

// Elder is a process of an earlier generation that lives on for its sessions.
type Elder struct {
	Name       string  `json:"name"`
	PID        int32   `json:"pid"`
	Generation int64   `json:"generation"`
	Draining   bool    `json:"draining"`    // it has handed its work over
	AgeSeconds float64 `json:"age_seconds"` // since the end of its generation
}

// Restart is one restart of the group or of a member.
type Restart struct {
	At         time.Time `json:"at"`
	Generation int64     `json:"generation"`
	Reason     string    `json:"reason"`
}

// New returns the report of a status as seen at now, with what runtime said
// or, if asked is not nil, why it said nothing.
func New(status *launcherv1.StatusResponse, runtime *activity.Activity, asked error, now time.Time) *Report {
	r := &Report{
		Generation: status.GetGeneration(), Version: status.GetVersion(), PID: status.GetPid(),
		StartedAt: status.GetStartedAt().AsTime(), UptimeSeconds: age(status.GetStartedAt(), now).Seconds(),
		Restarts: status.GetRestarts(), ConfigPath: status.GetConfigPath(), CRISocket: status.GetCriSocket(),
		// Empty lists, not null, for those who loop over them.
		Members: []Member{}, History: []Restart{}, Operations: []Operation{}, Quarantine: []Quarantined{}, Logs: []Log{}, now: now,
	}
	r.add(runtime, asked)
	for _, m := range status.GetMembers() {
		member := Member{
			Name: m.GetName(), State: m.GetState(), PID: m.GetPid(), Critical: m.GetCritical(),
			Restarts: m.GetRestarts(), LastExit: m.GetLastExit(),
			UptimeSeconds: age(m.GetStartedAt(), now).Seconds(),
		}
		if m.GetStartedAt() != nil {
			at := m.GetStartedAt().AsTime()
			member.StartedAt = &at
		}
		r.Members = append(r.Members, member)
	}
	for _, e := range status.GetElders() {
		r.Elders = append(r.Elders, Elder{
			Name: e.GetName(), PID: e.GetPid(), Generation: e.GetGeneration(), Draining: e.GetDraining(),
			AgeSeconds: age(e.GetSince(), now).Seconds(),
		})
	}
	for _, h := range status.GetHistory() {
		r.History = append(r.History, Restart{At: h.GetAt().AsTime(), Generation: h.GetGeneration(), Reason: h.GetReason()})
	}
	return r
}

// add puts in what runtime said.
func (r *Report) add(runtime *activity.Activity, asked error) {
	if asked != nil {
		r.RuntimeError = asked.Error()
		return
	}
	r.Network = &runtime.Network
	r.DroppedBytes = runtime.Logs.Dropped
	for _, l := range runtime.Logs.Troubled {
		r.Logs = append(r.Logs, Log{Pod: l.Pod, Container: l.Container, State: l.State, DroppedBytes: l.Dropped, Path: l.Path, Reason: l.Why})
	}
	for _, o := range runtime.Operations {
		r.Operations = append(r.Operations, Operation{Operation: o.What, Stage: o.Stage, AgeSeconds: o.Age.Seconds()})
	}
	for _, q := range runtime.Quarantine {
		r.Quarantine = append(r.Quarantine, Quarantined{Kind: q.Kind, ID: q.ID, Reason: q.Why})
	}
}

func age(since *timestamppb.Timestamp, now time.Time) time.Duration {
	if since == nil {
		return 0
	}
	return max(now.Sub(since.AsTime()), 0)
}

// WriteJSON writes the report as one indented object.
func (r *Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}
