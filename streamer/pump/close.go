package pump

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
)

const (
	// closeRounds bounds the last reads of a stream that somebody still
	// writes to, in batches.
	closeRounds = 64
	// sweepers is how many containers are swept at a time.
	sweepers = 8
)

// Close waits until the container's output has ended and is in the log, at
// most drain, then removes FIFOs and state and ends its attach sessions. A
// stream that nobody ever opened counts as ended. drained is false if the
// streams had not ended; what was readable by then is logged. It is idempotent:
// an unknown id is no error. When ctx ends first, its reason is returned and
// the container stays open.
func (p *Pumps) Close(ctx context.Context, id string, drain time.Duration) (drained bool, err error) {
	if err := ident.Check("container_id", id); err != nil {
		return false, err
	}
	pump, err := p.find(ctx, id)
	if errdefs.IsNotFound(err) {
		return true, remove(p.folder(id)) // left by a failure, or nothing
	}
	if err != nil {
		return false, err
	}
	drained, err = pump.close(ctx, drain)
	switch {
	case errdefs.IsNotFound(err):
		return true, nil // another Close was faster
	case err != nil:
		return false, fmt.Errorf("close io of container %s: %w", id, err)
	}
	return drained, nil
}

func (p *pump) close(ctx context.Context, drain time.Duration) (drained bool, err error) {
	if err := p.do(ctx, p.lookAgain); err != nil {
		return false, err
	}
	if drain > 0 {
		err := telemetry.Span(ctx, "pump.drain", func(ctx context.Context) error {
			timer := time.NewTimer(drain)
			defer timer.Stop()
			select {
			case <-p.ended:
			case <-timer.C:
			case <-p.set.ended:
				return fmt.Errorf("pumps have stopped: %w", errdefs.ErrUnavailable)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			return nil
		}, attribute.String("container.id", p.id))
		if err != nil {
			return false, err
		}
	}
	err = p.do(ctx, func() error {
		drained = p.finish()
		return errors.Join(p.release(), remove(p.dir), p.set.drop(p))
	})
	return drained, err
}

// lookAgain makes the turn read each stream whatever its watch says: one that
// nobody ever opened has ended, and no event would tell.
func (p *pump) lookAgain() error {
	p.closing = true
	for _, s := range p.sources {
		s.armed = false
	}
	p.bridge.Expire()
	return nil
}

// finish runs in the last turn. It takes what can be read without waiting and
// tells whether the streams have ended.
func (p *pump) finish() bool {
	for range closeRounds {
		if p.work(everything) == rest {
			break
		}
	}
	drained := true
	for _, s := range p.sources {
		drained = drained && s.ended
	}
	// What is left of a line now stays unfinished, and a log that fails is
	// not waited for.
	p.forced = true
	for range closeRounds {
		if p.work(everything) == rest {
			break
		}
	}
	p.settleLog()
	p.hub.end(nil)
	return drained
}

// drop removes the pump's entry.
func (p *Pumps) drop(pump *pump) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.entries[pump.id]; ok && e.pump == pump {
		delete(p.entries, pump.id)
	}
	return nil
}

// Sweep closes every container that is not in keep and was open as of a time,
// without waiting for its output, and removes leftovers on disk. It returns
// the ids that were removed, also with an error.
func (p *Pumps) Sweep(ctx context.Context, keep []string, asOf time.Time) (removed []string, err error) {
	if err := p.waitResumed(ctx); err != nil {
		return nil, err
	}
	kept := make(map[string]bool, len(keep))
	for _, id := range keep {
		kept[id] = true
	}
	folders, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of the pumps: %w", err)
	}
	var mu sync.Mutex
	var failed []error
	group := errgroup.Group{}
	group.SetLimit(sweepers)
	for _, folder := range folders {
		id := folder.Name()
		if kept[id] || !folder.IsDir() || ident.Check("folder", id) != nil {
			continue
		}
		if info, err := folder.Info(); err != nil || info.ModTime().After(asOf) {
			continue // gone, or made since
		}
		group.Go(func() error {
			_, err := p.Close(ctx, id, 0)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, err)
				return nil // one that fails does not keep the others
			}
			removed = append(removed, id)
			return nil
		})
	}
	_ = group.Wait() // errors are in failed
	if len(removed) > 0 {
		p.log.Info("swept the io of containers that are gone", "containers", len(removed))
	}
	return removed, errors.Join(failed...)
}
