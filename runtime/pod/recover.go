package pod

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Recover reads the pods' records. A pod is ready if its namespaces and files
// are there: a reboot clears both. A record that cannot be read, or has the
// metadata of another, is quarantined.
func (s *Service) Recover(ctx context.Context) error {
	records, err := s.Records.ListPods(ctx)
	if err != nil {
		return err
	}
	found := make(map[string]*Pod, len(records))
	for _, r := range records {
		p, err := s.revive(r)
		if err != nil {
			s.quarantine(ctx, r.ID, err)
			continue
		}
		s.mu.Lock()
		other, taken := s.byKey[p.key]
		if !taken || p.State().Ready {
			s.byKey[p.key] = p.ID
		}
		s.mu.Unlock()
		if taken {
			s.Log.WarnContext(ctx, "two pods have the same metadata", telemetry.PodID, p.ID, "other", other, "metadata", p.key)
		}
		s.Labels.Hold(p.SELinux.MountLabel)
		p.labelled = true
		found[p.ID] = p
	}
	s.pods.PutAll(found)
	s.Log.InfoContext(ctx, "pods are recovered", "pods", len(found), "quarantined", len(records)-len(found))
	return nil
}

func (s *Service) quarantine(ctx context.Context, id string, why error) {
	s.Log.ErrorContext(ctx, "record of a pod is quarantined: RemovePodSandbox removes it", telemetry.PodID, id, "error", why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quarantined[id] = why
}

// revive makes a pod of its record.
func (s *Service) revive(r engine.PodRecord) (*Pod, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	cfg := &runtimeapi.PodSandboxConfig{}
	if err := proto.Unmarshal(r.Record.GetConfig(), cfg); err != nil {
		return nil, fmt.Errorf("decode pod's configuration: %w", err)
	}
	// A handler that is not configured any more is no reason to lose the pod.
	handler, _ := s.handler(r.Record.GetRuntimeHandler())
	p := newPod(r.ID, r.Record, cfg, handler)
	resources, err := resourcesOf(r.Record, cfg)
	if err != nil {
		return nil, err
	}
	p.Files = specFiles(s.Files.Paths(r.ID))
	paths, alive, err := s.Pins.Paths(r.ID)
	if err != nil {
		return nil, err
	}
	request, _ := s.namespaceRequest(r.ID, cfg)
	whole := (paths.Net != "") == request.Net && (paths.IPC != "") == request.IPC && (paths.UTS != "") == request.UTS
	exists, err := s.Files.Exists(r.ID)
	if err != nil {
		return nil, err
	}
	p.Namespaces = spec.Namespaces{Network: paths.Net, IPC: paths.IPC, UTS: paths.UTS, User: paths.User}
	ready := exists && r.Record.GetBootId() == s.BootID && (!pinned(request) || alive && whole)
	p.publish(func(st *State) { st.Ready, st.Resources = ready, resources })
	return p, nil
}

const (
	// verifyPause is the pause between two rounds of Verify.
	verifyPause = time.Second
	// verifyParallel bounds the shims that are asked at the same time.
	verifyParallel = 16
)

// Verify looks for the pause containers and sandboxes of recovered pods, which takes a call
// to a shim each: pods are served meanwhile as their records say, but take no
// containers that want their PID namespace. It returns when all have been
// found, or with ctx. A shim that hangs keeps no other pod waiting.
func (s *Service) Verify(ctx context.Context) {
	for s.verifyAll(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(verifyPause):
		}
	}
}

// verifyAll is one round; it tells whether another one is needed.
func (s *Service) verifyAll(ctx context.Context) bool {
	var open atomic.Bool
	var group errgroup.Group
	group.SetLimit(verifyParallel)
	for _, p := range s.All() {
		group.Go(func() error {
			if err := s.verify(ctx, p); err != nil && ctx.Err() == nil {
				open.Store(true)
				s.logger(p.ID, p.Config).WarnContext(ctx, "pause container or sandbox could not be looked at", "error", err)
			}
			return nil
		})
	}
	_ = group.Wait() // each has logged its own error
	return open.Load()
}

func (s *Service) verify(ctx context.Context, p *Pod) error {
	holder := s.holderOf(p)
	if holder == nil || !p.State().Ready || p.State().PausePID != 0 || p.watched.Load() {
		return nil
	}
	pid, alive, err := holder.Look(ctx, p.ID)
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	if !p.State().Ready {
		return nil // it has been stopped meanwhile
	}
	p.publish(func(st *State) { st.Ready, st.PausePID = alive, p.shared(pid) })
	if alive {
		s.watch(p)
	} else {
		s.logger(p.ID, p.Config).WarnContext(ctx, "the pod's pause container or sandbox has ended: the pod is not ready any more")
	}
	return nil
}

// Sweep removes what pods that do not exist have left: namespaces, files and
// attachments of starts that a crash cut short. Pods that start meanwhile are
// not touched: what they have is listed before they are asked for.
func (s *Service) Sweep(ctx context.Context) error {
	pinned, err := s.Pins.List()
	if err != nil {
		return err
	}
	withFiles, err := s.Files.List()
	if err != nil {
		return err
	}
	asOf := time.Now()
	keep := s.known()
	for _, id := range pinned {
		if !keep[id] {
			if err := s.Pins.Remove(ctx, id); err != nil {
				return err
			}
			s.Log.InfoContext(ctx, "leftover namespaces are removed", telemetry.PodID, id)
		}
	}
	// Every pod has files, so what else it has is found by them; they go last.
	for _, id := range withFiles {
		if !keep[id] {
			if err := s.removeHolders(ctx, id); err != nil {
				return err
			}
			if err := s.Files.Remove(ctx, id); err != nil {
				return err
			}
			s.Log.InfoContext(ctx, "leftover files are removed", telemetry.PodID, id)
		}
	}
	ids := make([]string, 0, len(keep))
	for id := range keep {
		ids = append(ids, id)
	}
	removed, err := s.Network.Sweep(ctx, ids, asOf)
	if len(removed) > 0 {
		s.Log.InfoContext(ctx, "leftover network attachments are removed", "pods", removed)
	}
	return err
}

// known are the ids of pods, of those that are starting, and of quarantined
// ones.
func (s *Service) known() map[string]bool {
	keep := s.pods.Known()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.quarantined {
		keep[id] = true
	}
	return keep
}
