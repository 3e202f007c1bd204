package ledger

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
)

// formatVersion is the version of the stored form of an Entry.
const formatVersion = 1

// State is how far an attachment has come.
type State string

const (
	// Intended is the state from before ADD until its result is recorded.
	// After a crash nobody knows how far ADD came: it must be undone.
	Intended State = "intended"
	// Attached is the state with a result.
	Attached State = "attached"
	// Detaching is the state from before DEL until the entry is removed.
	Detaching State = "detaching"
)

// Pod identifies a pod in logs, spans and CNI arguments.
type Pod struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// Network is the configuration that ADD used, so that DEL can use the same.
type Network struct {
	Name      string `json:"name"`
	Interface string `json:"interface"`
	// Config is the complete conflist.
	Config json.RawMessage `json:"config"`
}

// Interface is one that the plugins reported.
type Interface struct {
	Name    string `json:"name"`
	MAC     string `json:"mac,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

// Result is what an attachment has given.
type Result struct {
	// IPs has the pod's own address first.
	IPs        []string    `json:"ips"`
	Interfaces []Interface `json:"interfaces,omitempty"`
	// CNI is the plugins' result as JSON.
	CNI json.RawMessage `json:"cni,omitempty"`
}

// Entry is one pod's attachment. An entry that the ledger has returned must
// not be changed.
type Entry struct {
	Version int       `json:"version"`
	State   State     `json:"state"`
	Pod     Pod       `json:"pod"`
	Group   string    `json:"group,omitempty"`
	NetNS   string    `json:"netns"`
	Started time.Time `json:"started"`
	// Args and Capabilities are what the plugins got besides the configuration.
	Args         [][2]string                `json:"args,omitempty"`
	Capabilities map[string]json.RawMessage `json:"capabilities,omitempty"`
	Networks     []Network                  `json:"networks"`
	Result       *Result                    `json:"result,omitempty"`
}

func (e *Entry) encode() ([]byte, error) {
	stored := *e
	stored.Version = formatVersion
	data, err := json.Marshal(&stored)
	if err != nil {
		return nil, fmt.Errorf("encode attachment of pod %s: %w", e.Pod.ID, err)
	}
	return data, nil
}

// Decode reads a stored entry of the pod with the given id. Errors are
// ErrInvalidArgument; a decoded entry is complete enough to be torn down.
func Decode(id string, data []byte) (*Entry, error) {
	e := &Entry{}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("decode attachment of pod %q: %w: %w", id, err, errdefs.ErrInvalidArgument)
	}
	problem := ""
	switch {
	case e.Version != formatVersion:
		problem = fmt.Sprintf("version %d is not %d", e.Version, formatVersion)
	case e.Pod.ID != id:
		problem = fmt.Sprintf("it says pod %q", e.Pod.ID)
	case e.State != Intended && e.State != Attached && e.State != Detaching:
		problem = fmt.Sprintf("unknown state %q", e.State)
	case e.State == Attached && e.Result == nil:
		problem = "it has no result"
	}
	if problem != "" {
		return nil, fmt.Errorf("decode attachment of pod %q: %s: %w", id, problem, errdefs.ErrInvalidArgument)
	}
	return e, nil
}
