package status

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/netsync/network"
)

func same(a, b *State) bool {
	x, y := *a, *b
	x.ChangedAt, y.ChangedAt = time.Time{}, time.Time{}
	x.Groups, y.Groups = nil, nil
	return reflect.DeepEqual(&x, &y) && sameGroups(a.Groups, b.Groups)
}

// sameGroups relies on Configs keeping a group that has not changed.
func sameGroups(a, b []*network.Group) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// compose makes a state. Only the default group decides about readiness; what
// is wrong with a runtime handler's is in the message.
func compose(snapshot *network.Snapshot, answers verdicts, count int) *State {
	s := &State{Groups: snapshot.Groups, Attachments: count, ChangedAt: time.Now()}
	var stale, others []string
	for _, g := range snapshot.Groups {
		if g.Err != nil && len(g.Networks) > 0 {
			stale = append(stale, g.Err.Error())
		}
		reason, message := judge(g, answers)
		if g.Name == "" {
			s.Ready, s.Reason, s.Message = reason == Ready, reason, message
		} else if reason != Ready {
			others = append(others, fmt.Sprintf("runtime handlers with %s: %s", g.Name, message))
		}
	}
	s.ConfigError = strings.Join(stale, "; ")
	if s.Message != "" {
		others = append([]string{s.Message}, others...)
	}
	s.Message = strings.Join(others, "; ")
	return s
}

// judge tells whether pods can be attached to the group's networks.
func judge(g *network.Group, answers verdicts) (reason, message string) {
	if len(g.Networks) == 0 {
		if errors.Is(g.Err, errdefs.ErrInvalidArgument) {
			return InvalidConfig, g.Err.Error()
		}
		return NoNetwork, fmt.Sprint(g.Err)
	}
	for _, n := range g.Networks {
		known, answer := answers.of(n)
		switch {
		case !known:
			return Unknown, fmt.Sprintf("network %q (%s): STATUS has not been answered yet", n.Name, n.File)
		case answer != nil:
			return NotReady, fmt.Sprintf("%s: %v", n.File, answer)
		}
	}
	return Ready, ""
}

// of is the newest answer for n. A changed configuration of the same network
// has the old answer until its own: readiness must not flap at each edit.
func (v verdicts) of(n *network.Network) (known bool, answer error) {
	if own, ok := v[string(n.Config)]; ok {
		return true, own.err
	}
	for _, other := range v {
		if other.network == n.Name {
			return true, other.err
		}
	}
	return false, nil
}
