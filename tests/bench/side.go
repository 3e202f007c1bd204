package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trivet-cri/trivet/tests/harness"
)

// side is one of the two that are compared.
type side struct {
	name    string
	stage   *harness.Stage
	account *account
	daemons []int // process ids: containerd and, with Trivet, the group
	handler string
}

// sides are both, Trivet first.
type sides struct {
	dir  string
	both [2]*side
}

// openSides builds and starts both sides.
func openSides(ctx context.Context, handler string) (_ *sides, err error) {
	dir, err := os.MkdirTemp("", "trivet-bench-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	s := &sides{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	harness.Progress("building the lab's parts")
	if err := harness.BuildLab(ctx, os.Stderr); err != nil {
		return nil, err
	}
	for i, baseline := range []bool{false, true} {
		if s.both[i], err = openSide(ctx, dir, handler, baseline); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func openSide(ctx context.Context, dir, handler string, baseline bool) (*side, error) {
	name := "trivet"
	if baseline {
		name = "built-in"
	}
	stage, err := harness.StartStage(ctx, harness.StageOptions{
		Dir: filepath.Join(dir, name), Baseline: baseline, Progress: func(text string) { harness.Progress("%s: %s", name, text) },
		Edit: harness.AsInProduction,
	})
	if err != nil {
		return nil, err
	}
	s := &side{name: name, stage: stage, handler: handler}
	if err := s.watch(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if _, err := stage.CRI().Pull(ctx, harness.Busybox); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// run runs a pod, whose name begins so, with the runtime handler that is measured.
func (s *side) run(ctx context.Context, name string) (*harness.Pod, error) {
	cfg, err := s.stage.CRI().PodConfig(name + harness.Unique()[:8])
	if err != nil {
		return nil, err
	}
	return s.stage.CRI().RunPodConfig(ctx, cfg, s.handler)
}

// watch puts the side's daemons into a CPU account.
func (s *side) watch(ctx context.Context) (err error) {
	containerd, err := peer(s.stage.Lab.ContainerdSocket)
	if err != nil {
		return err
	}
	s.daemons = []int{containerd}
	if group := s.stage.Group; group != nil {
		status, err := group.Status(ctx)
		if err != nil {
			return err
		}
		s.daemons = append(s.daemons, int(status.GetPid()))
		for _, m := range status.GetMembers() {
			s.daemons = append(s.daemons, int(m.GetPid()))
		}
	}
	s.account, err = openAccount(s.stage.Lab.CgroupParent, s.daemons)
	return err
}

func (s *side) close() error {
	stopped := s.stage.Stop()
	if s.account != nil {
		stopped = errors.Join(stopped, s.account.close())
	}
	return stopped
}

// close ends both sides.
func (s *sides) close() error {
	var failed []error
	for _, side := range s.both {
		if side != nil {
			failed = append(failed, side.close())
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("%w; the logs are in %s", err, s.dir)
	}
	return os.RemoveAll(s.dir)
}
