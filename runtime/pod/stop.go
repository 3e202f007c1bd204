package pod

import (
	"context"
	"errors"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// Stop ends a pod: no new containers, then stopContainers, then the pause
// container or sandbox, network, namespaces and files. Its record stays. It is
// idempotent; every step is tried also after another has failed, but for the
// network, which is not taken from containers that still run.
func (s *Service) Stop(ctx context.Context, p *Pod, stopContainers func(context.Context) error) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	return s.stop(ctx, p, stopContainers)
}

func (s *Service) stop(ctx context.Context, p *Pod, stopContainers func(context.Context) error) error {
	s.describe(ctx, p)
	if err := p.close(ctx); err != nil {
		return err
	}
	if err := stopContainers(ctx); err != nil {
		return err
	}
	s.Hooks.StopPod(ctx, p)
	was := p.State().Ready
	// From here on it is no pod any more that anything can run in.
	p.publish(func(st *State) { st.Ready, st.PausePID = false, 0 })
	var failed []error
	if holder := s.holderOf(p); holder != nil {
		failed = append(failed, holder.Remove(ctx, p.ID))
	}
	if !hostNetwork(p.Config) {
		failed = append(failed, s.Network.Detach(ctx, p.ID, p.Config))
	}
	failed = append(failed, s.Pins.Remove(ctx, p.ID), s.Files.Remove(ctx, p.ID))
	err := errors.Join(failed...)
	if err == nil && was {
		s.logger(p.ID, p.Config).InfoContext(ctx, "pod is stopped")
	}
	return err
}

// Remove stops a pod and removes its containers and its record. It is
// idempotent.
func (s *Service) Remove(ctx context.Context, p *Pod, stopContainers, removeContainers func(context.Context) error) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	if err := s.stop(ctx, p, stopContainers); err != nil {
		return err
	}
	if err := removeContainers(ctx); err != nil {
		return err
	}
	if err := s.Records.DeletePod(ctx, p.ID); err != nil {
		return err
	}
	s.pods.Delete(p.ID)
	s.mu.Lock()
	if s.byKey[p.key] == p.ID {
		delete(s.byKey, p.key)
	}
	s.mu.Unlock()
	s.unlabel(p)
	s.logger(p.ID, p.Config).InfoContext(ctx, "pod is removed")
	s.Hooks.RemovePod(ctx, p)
	return nil
}

// RemoveQuarantined removes a record that could not be read, with all that a
// pod of that id may have. False if id is not quarantined.
func (s *Service) RemoveQuarantined(ctx context.Context, id string) (bool, error) {
	s.mu.Lock()
	_, ok := s.quarantined[id]
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	err := errors.Join(
		s.removeHolders(ctx, id), s.Network.Detach(ctx, id, nil),
		s.Pins.Remove(ctx, id), s.Files.Remove(ctx, id))
	if err == nil {
		err = s.Records.DeletePod(ctx, id)
	}
	if err != nil {
		return true, err
	}
	s.mu.Lock()
	delete(s.quarantined, id)
	s.mu.Unlock()
	s.Log.InfoContext(ctx, "quarantined pod is removed", telemetry.PodID, id)
	return true, nil
}

// PauseExited marks a pod whose pause container or sandbox has ended as not ready. It
// tells whether id, which must be whole, is a pod's. A pod that is starting is
// marked once it has started.
func (s *Service) PauseExited(ctx context.Context, id string) bool {
	p, starting := s.pods.Begun(id)
	if !starting {
		if p = s.All()[id]; p == nil {
			return false
		}
	}
	if p.take(ctx) != nil {
		return true
	}
	defer p.give()
	if p.State().Ready && p.held() {
		s.logger(p.ID, p.Config).WarnContext(ctx, "the pod's pause container or sandbox has ended: the pod is not ready any more")
		p.publish(func(st *State) { st.Ready, st.PausePID = false, 0 })
	}
	return true
}

func (s *Service) describe(ctx context.Context, p *Pod) {
	m := p.Config.GetMetadata()
	telemetry.Pod(ctx, p.ID, m.GetNamespace(), m.GetName(), m.GetUid())
}
