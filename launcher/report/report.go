// Package report shows the launcher's status to the user, as a table and as
// JSON.
//
// The JSON is an interface that scripts use: fields are only ever added.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

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
	Members       []Member  `json:"members"` // in start order
	History       []Restart `json:"history"` // oldest first
	now           time.Time
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

// Restart is one restart of the group or of a member.
type Restart struct {
	At         time.Time `json:"at"`
	Generation int64     `json:"generation"`
	Reason     string    `json:"reason"`
}

// New returns the report of a status as seen at now.
func New(status *launcherv1.StatusResponse, now time.Time) *Report {
	r := &Report{
		Generation: status.GetGeneration(), Version: status.GetVersion(), PID: status.GetPid(),
		StartedAt: status.GetStartedAt().AsTime(), UptimeSeconds: age(status.GetStartedAt(), now).Seconds(),
		Restarts: status.GetRestarts(), ConfigPath: status.GetConfigPath(), CRISocket: status.GetCriSocket(),
		// Empty lists, not null, for those who loop over them.
		Members: []Member{}, History: []Restart{}, now: now,
	}
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
	for _, h := range status.GetHistory() {
		r.History = append(r.History, Restart{At: h.GetAt().AsTime(), Generation: h.GetGeneration(), Reason: h.GetReason()})
	}
	return r
}

func age(since *timestamppb.Timestamp, now time.Time) time.Duration {
	if since == nil {
		return 0
	}
	return max(now.Sub(since.AsTime()), 0)
}

// WriteJSON writes the report as one indented object.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}
