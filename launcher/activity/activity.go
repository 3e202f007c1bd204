// Package activity asks runtime and streamer what they are at.
//
// Of runtime it is the verbose Status of the CRI, which every process that may
// use the CRI can ask for, of streamer the list of its sessions. Both answer
// from memory. One that hangs or is not there costs the caller its context's
// deadline, and is told by an error.
package activity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/rpc"
)

// Activity is what runs, and what runtime cannot read.
type Activity struct {
	Operations []Operation   // oldest first
	Quarantine []Quarantined // by kind and id
	Network    Network
	Logs       Logs
}

// Logs are containers' logs into which output does not go as it comes.
type Logs struct {
	Troubled []TroubledLog // by container
	Dropped  uint64        // bytes of output that are in no log
}

// TroubledLog is one of them.
type TroubledLog struct {
	Container, Pod, Path string
	State                string // limited, held-back or dropped
	Why                  string
	Dropped              uint64 // bytes
}

// Operation is work under way.
type Operation struct {
	What  string
	Stage string
	Age   time.Duration
}

// Quarantined is a record that cannot be read.
type Quarantined struct {
	Kind string // pods, containers or images
	ID   string
	Why  string
}

// Network is netsync's own view.
type Network struct {
	Ready       bool     `json:"ready"`
	Reason      string   `json:"reason"`
	Message     string   `json:"message"`
	ConfigError string   `json:"config_error"` // an older configuration is in use
	Attachments int      `json:"attachments"`
	Networks    []string `json:"networks"` // their names
}

// Ask asks the runtime that serves the CRI on socket. The error of one that
// does not answer until the end of ctx is context.DeadlineExceeded, that of
// one that is not there errdefs.ErrUnavailable.
func Ask(ctx context.Context, socket string) (activity *Activity, err error) {
	conn, err := rpc.Dial(socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	client := runtimeapi.NewRuntimeServiceClient(conn)
	response, err := client.Status(ctx, &runtimeapi.StatusRequest{Verbose: true}, grpc.WaitForReady(false))
	if err != nil {
		return nil, silence("runtime", socket, err)
	}
	return parse(response.GetInfo())
}

// silence is why a member gives no answer.
func silence(member, socket string, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errdefs.IsDeadlineExceeded(err):
		return fmt.Errorf("%s does not answer on %s: %w", member, socket, context.DeadlineExceeded)
	case errdefs.IsUnavailable(err):
		// gRPC's text is long and about itself.
		return fmt.Errorf("%s does not answer on %s: %w", member, socket, errdefs.ErrUnavailable)
	}
	return fmt.Errorf("ask %s on %s: %w", member, socket, err)
}

// parse reads the parts of a verbose status; a part that is not there is
// empty.
func parse(info map[string]string) (*Activity, error) {
	var operations []struct {
		What  string        `json:"what"`
		Stage string        `json:"stage"`
		Age   time.Duration `json:"age"`
	}
	var quarantine map[string]map[string]string
	var network struct {
		Network
		Networks []struct {
			Name string `json:"name"`
		} `json:"networks"`
	}
	var logs logStatus
	for key, into := range map[string]any{"operations": &operations, "quarantine": &quarantine, "network": &network, "logs": &logs} {
		text, ok := info[key]
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return nil, fmt.Errorf("read %s of runtime's status: %w", key, err)
		}
	}
	activity := &Activity{Network: network.Network, Logs: logs.logs()}
	activity.Network.Networks = []string{} // not null, for those who loop over it
	for _, n := range network.Networks {
		activity.Network.Networks = append(activity.Network.Networks, n.Name)
	}
	for _, o := range operations {
		activity.Operations = append(activity.Operations, Operation{What: o.What, Stage: o.Stage, Age: o.Age})
	}
	slices.SortFunc(activity.Operations, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), strings.Compare(a.What, b.What))
	})
	for _, kind := range slices.Sorted(maps.Keys(quarantine)) {
		for _, id := range slices.Sorted(maps.Keys(quarantine[kind])) {
			activity.Quarantine = append(activity.Quarantine, Quarantined{Kind: kind, ID: id, Why: quarantine[kind][id]})
		}
	}
	return activity, nil
}
