package image

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"go.opentelemetry.io/otel/attribute"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// flight is a pull under way, shared by all who asked for it.
type flight struct {
	order   order
	started time.Time
	meter   *meter
	callers atomic.Int64
	done    chan struct{} // closed when image and err are set
	image   Image
	err     error
}

// Running describes a pull under way.
type Running struct {
	Ref     string
	Stage   string // what is being done, with bytes
	Started time.Time
	Callers int // how many calls asked for it so far
}

// Running returns the pulls under way, in no order.
func (s *Service) Running() []Running {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Running, 0, len(s.flights))
	for _, f := range s.flights {
		all = append(all, Running{f.order.named.String(), f.meter.String(), f.started, int(f.callers.Load())})
	}
	return all
}

// join returns the flight of an order; it takes off if there is none. It has
// the caller's trace but not his deadline.
func (s *Service) join(ctx context.Context, o order, pod *runtimeapi.PodSandboxConfig) (*flight, error) {
	key := o.key()
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.flights[key]; ok {
		f.callers.Add(1)
		return f, nil
	}
	if s.stopped {
		return nil, fmt.Errorf("pull %q: the image service has stopped: %w", o.named, errdefs.ErrUnavailable)
	}
	now := time.Now()
	f := &flight{order: o, started: now, meter: newMeter(&s.pulse, now), done: make(chan struct{})}
	f.callers.Add(1)
	s.flights[key] = f
	s.work.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.flights, key)
			s.mu.Unlock()
			close(f.done)
		}()
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		defer cancel(nil)
		defer context.AfterFunc(s.life, func() {
			cancel(fmt.Errorf("the image service stops: %w", errdefs.ErrUnavailable))
		})()
		s.fly(ctx, f, pod)
	})
	return f, nil
}

// fly pulls and sets the outcome.
func (s *Service) fly(ctx context.Context, f *flight, pod *runtimeapi.PodSandboxConfig) {
	ref := f.order.named.String()
	f.err = telemetry.Span(ctx, "image.pull", func(ctx context.Context) (err error) {
		if meta := pod.GetMetadata(); meta != nil {
			telemetry.Pod(ctx, "", meta.GetNamespace(), meta.GetName(), meta.GetUid())
		}
		f.image, err = s.pull(ctx, f.order, f.meter)
		return err
	}, attribute.String("trivet.image.ref", ref))
	took := time.Since(f.started).Round(time.Millisecond)
	if f.err != nil {
		s.log.WarnContext(ctx, "image not pulled", "image", ref, "took", took, "error", f.err)
		return
	}
	s.log.InfoContext(ctx, "image pulled", "image", ref, "id", f.image.ID, "bytes", f.image.Size, "took", took)
}
