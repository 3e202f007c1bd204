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

// markTopic is where a subscriber publishes to itself: containerd does not
// say when a subscription has begun.
const markTopic = "/trivet/image-watch"

// markEvery is the pause between two marks until one comes back.
const markEvery = 100 * time.Millisecond

// WatchImageNames calls changed with each image name that is created, updated
// or deleted, one call at a time, until ctx ends or the stream breaks; it
// always returns an error. It calls begun once, as soon as no change can be
// missed any more: whoever lists the names then knows everything.
func (e *Engine) WatchImageNames(ctx context.Context, begun func(), changed func(name string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	envelopes, failed := e.Client().Subscribe(ctx, `topic~="^/images/"`, `topic=="`+markTopic+`"`)
	mark := ident.New()
	again := time.NewTicker(markEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("watch images: %w", ctx.Err())
		case err := <-failed:
			if err == nil {
				err = errors.New("containerd ended the stream")
			}
			return fmt.Errorf("watch images: %w", err)
		case <-again.C:
			if err := e.Client().EventService().Publish(ctx, markTopic, &eventsapi.ImageUpdate{Name: mark}); err != nil {
				return fmt.Errorf("watch images: publish the mark: %w", err)
			}
		case envelope := <-envelopes:
			name := eventName(envelope)
			switch {
			case envelope.Topic != markTopic && name != "":
				changed(name)
			case envelope.Topic == markTopic && name == mark && mark != "":
				mark = ""
				again.Stop()
				begun()
			}
		}
	}
}

// eventName is the image name in an event, empty if it has none.
func eventName(envelope *events.Envelope) string {
	event, err := typeurl.UnmarshalAny(envelope.Event)
	if err != nil {
		return "" // an event of a newer containerd
	}
	if named, ok := event.(interface{ GetName() string }); ok {
		return named.GetName()
	}
	return ""
}
