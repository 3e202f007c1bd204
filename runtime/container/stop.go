package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// Stop ends a container: its stop signal, after timeout SIGKILL, then the
// kill of all that is in its cgroup, then that of a shim that does not tell of
// it; a container that outlives even that is declared dead, so that Stop always
// comes to an end. One that does not run is no error.
func (s *Service) Stop(ctx context.Context, c *Container, timeout time.Duration) error {
	s.describe(ctx, c)
	err := s.stop(ctx, c, timeout)
	s.tellEnd(ctx, c)
	return err
}

// tellEnd tells plugins if the container has ended.
func (s *Service) tellEnd(ctx context.Context, c *Container) {
	if c.State().Phase == runtimeapi.ContainerState_CONTAINER_EXITED {
		s.Hooks.StopContainer(ctx, c)
	}
}

func (s *Service) stop(ctx context.Context, c *Container, timeout time.Duration) error {
	if !c.Running() {
		return nil
	}
	c.interrupted()
	step := s.Config.StopTimeout.Std()
	if timeout > 0 {
		timeout = max(timeout, s.Config.CtrStopTimeout.Std())
		// A second Stop with a grace does not repeat the signal: applications
		// take that for impatience.
		if c.signalled.CompareAndSwap(false, true) {
			if err := s.signal(ctx, c, s.signalOf(c)); err != nil {
				c.signalled.Store(false) // it was not sent
				return err
			}
		}
		if done, err := c.await(ctx, timeout); done || err != nil {
			return err
		}
		s.logger(c).InfoContext(ctx, "container has not ended after its stop signal", "waited", timeout)
	}
	c.interrupted() // a checkpoint that has begun meanwhile
	if err := s.signal(ctx, c, unix.SIGKILL); err != nil {
		s.logger(c).WarnContext(ctx, "container could not be killed through its shim", "error", err)
	}
	if done, err := c.await(ctx, step); done || err != nil {
		return err
	}
	s.logger(c).WarnContext(ctx, "container has not ended after SIGKILL: killing what is in its cgroup")
	killed := killCgroup(c.ID, c.cgroupsPath)
	if done, err := c.await(ctx, step); done || err != nil {
		return err
	}
	if s.endShim(ctx, c.ID) {
		if done, err := c.await(ctx, step); done || err != nil {
			return err
		}
	}
	s.logger(c).ErrorContext(ctx, "container does not end: it counts as dead from now on", "error", killed)
	s.endSoon(c, exit{code: 137, at: time.Now(), reason: "Error", message: "the container did not end after SIGKILL and was declared dead"})
	if done, err := c.await(ctx, step); done || err != nil {
		return err
	}
	return fmt.Errorf("stop container %s: its end cannot be recorded: %w", c.ID, errdefs.ErrUnavailable)
}

// signal sends one signal. A task that is gone, without its end having been
// told, is looked at.
func (s *Service) signal(ctx context.Context, c *Container, sig unix.Signal) error {
	// A shim that hangs must not hold up the escalation.
	limited, cancel := context.WithTimeout(ctx, s.Config.StopTimeout.Std())
	defer cancel()
	err := s.Tasks.KillTask(limited, c.ID, sig, false)
	if errdefs.IsNotFound(err) {
		err = s.verify(limited, c)
	}
	if err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		s.logger(c).WarnContext(ctx, "shim does not answer", "error", err)
		return nil
	}
	return err
}

// endShim kills the shim of id, whose end containerd then tells as that of the
// container; false if there was none.
func (s *Service) endShim(ctx context.Context, id string) bool {
	killed, err := s.KillShim(id)
	if err != nil {
		s.Log.WarnContext(ctx, "shim that does not answer is not killed", telemetry.ContainerID, id, "error", err)
	}
	if killed > 0 {
		s.Log.WarnContext(ctx, "shim that does not answer is killed", telemetry.ContainerID, id)
	}
	return killed > 0
}

// await waits for the exit; done tells whether it came within limit.
func (c *Container) await(ctx context.Context, limit time.Duration) (done bool, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.exited:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("stop container %s: %w", c.ID, context.Cause(ctx))
	}
}

// StopAll kills all containers of a pod at once, quarantined ones too. The
// kubelet stops them one by one, with grace, before it stops the pod.
func (s *Service) StopAll(ctx context.Context, podID string) error {
	return errors.Join(
		each(s.OfPod(podID), func(c *Container) error { return s.Stop(ctx, c, 0) }),
		each(s.orphansOf(podID), func(id string) error { return s.destroyTask(ctx, id) }))
}

// each works on all at once. That one fails does not hold up the others.
func each[T any](all []T, work func(T) error) error {
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, c := range all {
		group.Go(func() { errs[i] = work(c) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// signalOf is the container's stop signal; create has checked it.
func (s *Service) signalOf(c *Container) unix.Signal {
	if name := c.record.Load().GetStopSignal(); name != "" {
		if sig, err := signal.ParseSignal(name); err == nil {
			return sig
		}
	}
	return unix.SIGTERM
}

// stopSignal is the name of the signal that the request or else the image
// asks for; empty for SIGTERM.
func stopSignal(asked runtimeapi.Signal, image string) (string, error) {
	name, field := image, "the image's stop signal"
	if asked != runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		field = "config.stop_signal"
		// SIGNAL_SIGRTMINPLUS1 is RTMIN+1 to everybody else.
		name = strings.TrimPrefix(asked.String(), "SIGNAL_")
		name = strings.NewReplacer("PLUS", "+", "MINUS", "-").Replace(name)
	}
	if name == "" {
		return "", nil
	}
	if sig, err := signal.ParseSignal(name); err != nil || sig < 1 || sig > maxSignal {
		return "", fmt.Errorf("%s %.80q is not a signal: %w", field, name, errdefs.ErrInvalidArgument)
	}
	return name, nil
}

// The kernel's real-time signals, as C libraries leave them to programs.
const (
	minRealtime = 34
	maxSignal   = 64
)

// nameOf is a signal's name as ParseSignal has it.
func nameOf(number int) string {
	const named = 15 // there are names for minRealtime and this many above it
	switch {
	case number == minRealtime:
		return "RTMIN"
	case number == maxSignal:
		return "RTMAX"
	case number > minRealtime+named:
		return fmt.Sprintf("RTMAX-%d", maxSignal-number)
	case number > minRealtime:
		return fmt.Sprintf("RTMIN+%d", number-minRealtime)
	}
	return unix.SignalName(unix.Signal(number))
}

// StopSignal is the signal that Stop sends, as the CRI has it.
func (c *Container) StopSignal() runtimeapi.Signal {
	name := strings.ToUpper(c.record.Load().GetStopSignal())
	if name == "" {
		name = "SIGTERM"
	}
	if number, err := strconv.Atoi(name); err == nil {
		name = nameOf(number)
	}
	name = "SIGNAL_SIG" + strings.NewReplacer("+", "PLUS", "-", "MINUS").Replace(strings.TrimPrefix(name, "SIG"))
	return runtimeapi.Signal(runtimeapi.Signal_value[name])
}
