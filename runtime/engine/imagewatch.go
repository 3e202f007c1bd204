package engine

import (
	"context"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
)

// imageFilters let pass what WatchImageNames is for. containerd compiles a
// pattern anew for each event that it tries it on, as three are of an exec.
var imageFilters = []string{`topic=="/images/create"`, `topic=="/images/update"`, `topic=="/images/delete"`}

// WatchImageNames calls changed with each image name that is created, updated
// or deleted, one call at a time, until ctx ends or the stream breaks; it
// always returns an error. It calls begun once, as soon as no change can be
// missed any more: whoever lists the names then knows everything.
func (e *Engine) WatchImageNames(ctx context.Context, begun func(), changed func(name string)) error {
	return e.watch(ctx, "images", imageFilters, begun, func(envelope *events.Envelope) {
		if name := eventName(envelope); name != "" {
			changed(name)
		}
	})
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
