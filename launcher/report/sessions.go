package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// Sessions are what streamer has open.
type Sessions struct {
	Sessions []Session `json:"sessions"` // oldest first
	LogPumps int32     `json:"log_pumps"`
}

// Session is an exec, attach or port-forward, or an exec-sync under way.
type Session struct {
	Kind         string    `json:"kind"` // exec, attach, portforward or execsync
	PodNamespace string    `json:"pod_namespace"`
	PodName      string    `json:"pod_name"`
	PodUID       string    `json:"pod_uid"`
	PodID        string    `json:"pod_id"`
	Container    string    `json:"container_name"` // as ContainerID, empty for a port-forward
	ContainerID  string    `json:"container_id"`
	Command      string    `json:"command"`     // without its arguments; of exec and execsync
	Client       string    `json:"client"`      // empty for execsync
	Protocol     string    `json:"protocol"`    // spdy or websocket, empty for execsync
	Subprotocol  string    `json:"subprotocol"` // what both sides have agreed on
	StartedAt    time.Time `json:"started_at"`
	AgeSeconds   float64   `json:"age_seconds"`
	BytesIn      int64     `json:"bytes_in"` // to the container or pod
	BytesOut     int64     `json:"bytes_out"`
	Connections  int64     `json:"connections"`        // that a port-forward has begun
	Draining     bool      `json:"draining,omitempty"` // in a streamer of an earlier generation
}

// NewSessions returns the report of a list as seen at now.
func NewSessions(list *streamerv1.ListSessionsResponse, now time.Time) *Sessions {
	r := &Sessions{Sessions: []Session{}, LogPumps: list.GetPumps()}
	for _, s := range list.GetSessions() {
		who := s.GetSubject()
		r.Sessions = append(r.Sessions, Session{
			Kind:         s.GetKind(),
			PodNamespace: who.GetPodNamespace(), PodName: who.GetPodName(), PodUID: who.GetPodUid(), PodID: who.GetPodId(),
			Container: who.GetName(), ContainerID: who.GetId(), Command: s.GetCommand(),
			Client: s.GetClient(), Protocol: s.GetProtocol(), Subprotocol: s.GetSubprotocol(),
			StartedAt: s.GetStartedAt().AsTime(), AgeSeconds: age(s.GetStartedAt(), now).Seconds(),
			BytesIn: s.GetBytesIn(), BytesOut: s.GetBytesOut(), Connections: s.GetConnections(),
			Draining: s.GetDraining(),
		})
	}
	return r
}

// WriteJSON writes the list as one indented object.
func (r *Sessions) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteTable writes the list for people.
func (r *Sessions) WriteTable(w io.Writer) error {
	t := newTable()
	t.row(fmt.Sprintf("%d sessions, logs of %d containers", len(r.Sessions), r.LogPumps))
	if len(r.Sessions) > 0 {
		t.section()
		t.row("KIND", "POD", "CONTAINER", "CLIENT", "PROTOCOL", "AGE", "IN", "OUT", "WHAT")
	}
	for _, s := range r.Sessions {
		what := orDash(printable(s.Command))
		if s.Kind == "portforward" {
			what = fmt.Sprintf("%d connections", s.Connections)
		}
		if s.Draining {
			what += ", draining"
		}
		t.row(s.Kind, s.PodNamespace+"/"+s.PodName, orDash(cmp.Or(s.Container, s.ContainerID)), orDash(s.Client),
			orDash(strings.TrimSpace(s.Protocol+" "+s.Subprotocol)), short(seconds(s.AgeSeconds)),
			size(s.BytesIn), size(s.BytesOut), what)
	}
	return t.writeTo(w)
}

// printable keeps a text that a client has chosen from moving the cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// size writes bytes with three digits at most.
func size(bytes int64) string {
	value, unit := float64(bytes), 0
	for value >= 1000 && unit < 4 {
		value /= 1024
		unit++
	}
	digits := 0
	if unit > 0 && value < 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, value, []string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
}
