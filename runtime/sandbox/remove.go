package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// retryPause is between two looks for the end of a shim that was killed.
const retryPause = 50 * time.Millisecond

// Remove ends a pod's sandbox and its shim, or what there is of them. Each
// step has the configured stop_timeout; then the shim is killed.
func (s *Service) Remove(ctx context.Context, podID string) error {
	return telemetry.Span(ctx, "sandbox.remove", func(ctx context.Context) error {
		err := s.shutDown(ctx, podID)
		if err == nil {
			return nil
		}
		// containerd forgets a shim that has refused to make a sandbox, and
		// leaves its process.
		forgotten := errdefs.IsNotFound(err)
		killed, killErr := s.KillShim(podID)
		switch {
		case forgotten && killErr == nil:
			return nil
		case killErr != nil || killed == 0:
			// That containerd is away says nothing about the shim: once it is
			// back, the next attempt will find out.
			return fmt.Errorf("end the pod's sandbox: %w", errors.Join(err, killErr))
		}
		if err := s.awaitGone(ctx, podID); err != nil {
			return fmt.Errorf("end the pod's sandbox, whose shim was killed: %w", err)
		}
		return nil
	})
}

// shutDown asks nicely. A shim that containerd does not know is
// errdefs.ErrNotFound.
func (s *Service) shutDown(ctx context.Context, podID string) error {
	step := s.Config.StopTimeout.Std()
	stop, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	// The shutdown ends it as well, if need be.
	stopped := s.Containerd.StopSandbox(stop, podID, step)
	down, cancelDown := context.WithTimeout(ctx, step)
	defer cancelDown()
	err := s.Containerd.ShutdownSandbox(down, podID)
	if err == nil || errdefs.IsNotFound(err) {
		return err
	}
	return errors.Join(stopped, err)
}

// awaitGone waits until containerd has noticed the end of a shim.
func (s *Service) awaitGone(ctx context.Context, podID string) error {
	ctx, cancel := context.WithTimeout(ctx, s.Config.StopTimeout.Std())
	defer cancel()
	for {
		err := s.Containerd.ShutdownSandbox(ctx, podID)
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryPause):
		}
	}
}
