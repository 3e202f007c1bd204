package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"

	"github.com/trivet-cri/trivet/internal/ident"
)

// taskMarkTopic is to WatchTasks what markTopic is to WatchImageNames.
const taskMarkTopic = "/trivet/task-watch"

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

// WatchTasks calls seen with each exit and OOM, one at a time, until ctx ends
// or the stream breaks; it always returns an error. It calls begun once, when
// no event can be missed any more. Ends of exec'd processes are left out.
func (e *Engine) WatchTasks(ctx context.Context, begun func(), seen func(TaskEvent)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	envelopes, failed := e.client.Subscribe(ctx, `topic=="/tasks/exit"`, `topic=="/tasks/oom"`, `topic=="`+taskMarkTopic+`"`)
	mark := ident.New()
	again := time.NewTicker(markEvery)
	defer again.Stop()
	if err := e.mark(ctx, mark); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("watch tasks: %w", ctx.Err())
		case err := <-failed:
			if err == nil {
				err = errors.New("containerd ended the stream")
			}
			return fmt.Errorf("watch tasks: %w", err)
		case <-again.C:
			if err := e.mark(ctx, mark); err != nil {
				return err
			}
		case envelope := <-envelopes:
			switch {
			case envelope.Topic != taskMarkTopic:
				if event, ok := taskEvent(envelope); ok {
					seen(event)
				}
			case mark != "" && eventName(envelope) == mark:
				mark = ""
				again.Stop()
				begun()
			}
		}
	}
}

func (e *Engine) mark(ctx context.Context, mark string) error {
	if err := e.client.EventService().Publish(ctx, taskMarkTopic, &eventsapi.ImageUpdate{Name: mark}); err != nil {
		return fmt.Errorf("watch tasks: publish the mark: %w", err)
	}
	return nil
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
