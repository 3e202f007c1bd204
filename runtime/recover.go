package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// recoverAll reads images, pods and containers, and returns when they can be
// listed.
func recoverAll(ctx context.Context, images *image.Service, pods *pod.Service, containers *container.Service) error {
	var group errgroup.Group
	group.Go(func() error { return images.Load(ctx) })
	group.Go(func() error {
		if err := pods.Recover(ctx); err != nil {
			return fmt.Errorf("recover pods: %w", err)
		}
		if err := containers.Recover(ctx); err != nil {
			return fmt.Errorf("recover containers: %w", err)
		}
		return nil
	})
	return group.Wait()
}

const (
	// sweepLimit bounds one attempt to sweep, sweepPause is between two.
	sweepLimit = time.Minute
	sweepPause = 5 * time.Second
	// sweepEvery is how long a failed start or creation that could not be
	// undone keeps its leftovers.
	sweepEvery = 10 * time.Minute
)

// sweep clears what a crash has left, as soon as all members answer, and then
// again and again what failed starts and creations have.
func (n *nouns) sweep(ctx context.Context, log *slog.Logger) error {
	swept := false
	for {
		limited, cancel := context.WithTimeout(ctx, sweepLimit)
		err := errors.Join(n.pods.Sweep(limited), n.containers.Sweep(limited))
		if !swept {
			err = errors.Join(n.sweepViews(limited), err)
		}
		cancel()
		pause := sweepEvery
		if err != nil && ctx.Err() == nil {
			pause = sweepPause
			log.WarnContext(ctx, "what a crash or a failed start may have left is not swept yet", "error", err)
		}
		swept = swept || err == nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
