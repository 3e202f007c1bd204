package server

import (
	"context"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// subject is whose session it is, for lists, logs and traces.
type subject struct {
	target string // container id, or pod id
	attrs  []any
	mark   func(context.Context) // puts it on the current span
}

func containerSubject(c *streamerv1.Container) subject {
	return subject{
		target: c.GetId(),
		attrs: append(telemetry.ContainerFields(c.GetId(), c.GetName()),
			telemetry.PodFields(c.GetPodId(), c.GetPodNamespace(), c.GetPodName(), c.GetPodUid())...),
		mark: func(ctx context.Context) {
			telemetry.Container(ctx, c.GetId(), c.GetName())
			telemetry.Pod(ctx, c.GetPodId(), c.GetPodNamespace(), c.GetPodName(), c.GetPodUid())
		},
	}
}

func podSubject(r *streamerv1.PreparePortForwardRequest) subject {
	return subject{
		target: r.GetPodId(),
		attrs:  telemetry.PodFields(r.GetPodId(), r.GetPodNamespace(), r.GetPodName(), r.GetPodUid()),
		mark: func(ctx context.Context) {
			telemetry.Pod(ctx, r.GetPodId(), r.GetPodNamespace(), r.GetPodName(), r.GetPodUid())
		},
	}
}
