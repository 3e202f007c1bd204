package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"

	"github.com/trivet-cri/trivet/internal/ident"
)

// markTopic precedes the topic at which a subscriber publishes to itself:
// containerd does not say when a subscription has begun.
const markTopic = "/trivet/watch/"

// markEvery is the pause between two marks until one comes back.
const markEvery = 100 * time.Millisecond

// watch calls seen with each event that one of the filters lets pass, one at a
// time, until ctx ends or the stream breaks; it always returns an error. It
// calls begun once, when no event can be missed any more. what is in errors.
func (e *Engine) watch(ctx context.Context, what string, filters []string, begun func(), seen func(*events.Envelope)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	topic, mark := markTopic+what, ident.New()
	envelopes, failed := e.client.Subscribe(ctx, append(filters, `topic=="`+topic+`"`)...)
	again := time.NewTicker(markEvery)
	defer again.Stop()
	if err := e.mark(ctx, what, topic, mark); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("watch %s: %w", what, ctx.Err())
		case err := <-failed:
			if err == nil {
				err = errors.New("containerd ended the stream")
			}
			return fmt.Errorf("watch %s: %w", what, err)
		case <-again.C:
			if err := e.mark(ctx, what, topic, mark); err != nil {
				return err
			}
		case envelope := <-envelopes:
			switch {
			case envelope.Topic != topic:
				seen(envelope)
			case mark != "" && eventName(envelope) == mark:
				mark = ""
				again.Stop()
				begun()
			}
		}
	}
}

func (e *Engine) mark(ctx context.Context, what, topic, mark string) error {
	if err := e.client.EventService().Publish(ctx, topic, &eventsapi.ImageUpdate{Name: mark}); err != nil {
		return fmt.Errorf("watch %s: publish the mark: %w", what, err)
	}
	return nil
}
