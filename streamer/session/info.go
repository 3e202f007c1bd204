package session

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// commandLimit is in bytes; the rest of a longer program name is not shown.
const commandLimit = 128

// Info describes a session.
type Info struct {
	Kind Kind
	// Subject is whose it is: a container with its pod, or, without an id
	// and a name, a pod.
	Subject *streamerv1.Container
	// Command is what an exec runs, see Program.
	Command string
	// Client is the other side's address; empty for ExecSync.
	Client string
	// Protocol is spdy or websocket; empty for ExecSync. Subprotocol is what
	// both sides have agreed on; empty until then, or if they need not.
	Protocol, Subprotocol string
	Started               time.Time
	Traffic
}

// Messages are the open sessions as others are told of them, oldest first.
func (s *Set) Messages() []*streamerv1.Session {
	var messages []*streamerv1.Session
	for _, open := range s.List() {
		messages = append(messages, &streamerv1.Session{
			Kind: string(open.Kind), Target: open.Target(), StartedAt: timestamppb.New(open.Started),
			Protocol: open.Protocol, Subprotocol: open.Subprotocol, Client: open.Client,
			Subject: open.Subject, Command: open.Command,
			BytesIn: open.In, BytesOut: open.Out, Connections: open.Connections,
		})
	}
	return messages
}

// Traffic is what a session has moved.
type Traffic struct {
	// In is bytes from the client to container or pod, Out those back.
	In, Out int64
	// Connections counts those that a port-forward has begun.
	Connections int64
}

func (t Traffic) plus(more Traffic) Traffic {
	return Traffic{t.In + more.In, t.Out + more.Out, t.Connections + more.Connections}
}

// Target is the container's id, or the pod's if there is none.
func (i Info) Target() string {
	if id := i.Subject.GetId(); id != "" {
		return id
	}
	return i.Subject.GetPodId()
}

// Program is the part of a command that may be shown: its name. Arguments
// may hold secrets.
func Program(cmd []string) string {
	if len(cmd) == 0 {
		return ""
	}
	name := cmd[0]
	if len(name) > commandLimit {
		name = strings.ToValidUTF8(name[:commandLimit], "")
	}
	return name
}

// PodOf is a port-forward's subject.
func PodOf(r *streamerv1.PreparePortForwardRequest) *streamerv1.Container {
	return &streamerv1.Container{
		PodId: r.GetPodId(), PodNamespace: r.GetPodNamespace(), PodName: r.GetPodName(), PodUid: r.GetPodUid(),
	}
}

// Fields identify a subject in log records.
func Fields(subject *streamerv1.Container) []any {
	fields := telemetry.PodFields(subject.GetPodId(), subject.GetPodNamespace(), subject.GetPodName(), subject.GetPodUid())
	if subject.GetId() == "" {
		return fields
	}
	return append(telemetry.ContainerFields(subject.GetId(), subject.GetName()), fields...)
}

// Mark puts a subject on the current span.
func Mark(ctx context.Context, subject *streamerv1.Container) {
	if subject.GetId() != "" {
		telemetry.Container(ctx, subject.GetId(), subject.GetName())
	}
	telemetry.Pod(ctx, subject.GetPodId(), subject.GetPodNamespace(), subject.GetPodName(), subject.GetPodUid())
}
