package engine

import (
	"context"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
)

// TaskEvent is the end of a container's first process, or of one of its
// processes by the kernel's OOM killer.
type TaskEvent struct {
	ContainerID string
	OOM         bool
	// The rest is set for an exit.
	PID      int
	ExitCode uint32
	ExitedAt time.Time
}

// taskFilters let pass what WatchTasks is for. A container's id is hexadecimal
// (package ident) and that of an exec'd process is not: containerd leaves the
// exits of probes out, rather than send them to be thrown away here.
var taskFilters = []string{`topic=="/tasks/exit",event.id~="^[0-9a-f]+$"`, `topic=="/tasks/oom"`}

// WatchTasks calls seen with each exit and OOM, one at a time, until ctx ends
// or the stream breaks; it always returns an error. It calls begun once, when
// no event can be missed any more. Ends of exec'd processes are left out.
func (e *Engine) WatchTasks(ctx context.Context, begun func(), seen func(TaskEvent)) error {
	return e.watch(ctx, "tasks", taskFilters, begun, func(envelope *events.Envelope) {
		if event, ok := taskEvent(envelope); ok {
			seen(event)
		}
	})
}

func taskEvent(envelope *events.Envelope) (TaskEvent, bool) {
	decoded, err := typeurl.UnmarshalAny(envelope.Event)
	if err != nil {
		return TaskEvent{}, false // an event of a newer containerd
	}
	switch event := decoded.(type) {
	case *eventsapi.TaskExit:
		if event.GetID() != event.GetContainerID() {
			return TaskEvent{}, false // an exec
		}
		return TaskEvent{ContainerID: event.GetContainerID(), PID: int(event.GetPid()), ExitCode: event.GetExitStatus(), ExitedAt: event.GetExitedAt().AsTime()}, true
	case *eventsapi.TaskOOM:
		return TaskEvent{ContainerID: event.GetContainerID(), OOM: true}, true
	}
	return TaskEvent{}, false
}
