package container

import (
	"context"
	"errors"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// Remove removes a container; one that runs is killed first. It is idempotent.
func (s *Service) Remove(ctx context.Context, c *Container) error {
	s.describe(ctx, c)
	c.interrupted()
	// From here on it cannot be started any more.
	if err := c.take(ctx); err != nil {
		return err
	}
	c.publish(func(st *State) { st.Removing = true })
	c.give()
	if err := s.Stop(ctx, c, 0); err != nil {
		return err
	}
	if err := s.remove(ctx, c); err != nil {
		return err
	}
	s.Hooks.RemoveContainer(ctx, c)
	return nil
}

func (s *Service) remove(ctx context.Context, c *Container) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if err := c.unlinkLog(); err != nil {
		return err
	}
	started := c.State().Phase != runtimeapi.ContainerState_CONTAINER_CREATED
	if err := s.release(ctx, c.ID, c.snapshotter, (started || c.unsure) && !c.clean); err != nil {
		return err
	}
	s.containers.Delete(c.ID)
	s.mu.Lock()
	if s.byKey[c.key] == c.ID {
		delete(s.byKey, c.key)
	}
	s.mu.Unlock()
	s.unlabel(c)
	s.logger(c).InfoContext(ctx, "container is removed")
	return nil
}

// release removes what containerd, streamer and the machine have of a
// container, its record last. busy says that there may be a task and streams.
func (s *Service) release(ctx context.Context, id, snapshotter string, busy bool) error {
	if busy {
		if err := s.destroyTask(ctx, id); err != nil {
			return err
		}
		if err := s.closeIO(ctx, &Container{ID: id}, 0); err != nil {
			return err
		}
	}
	if err := s.Snapshots.RemoveRootfs(ctx, snapshotter, id); err != nil {
		return err
	}
	if err := s.ImageVolumes.Remove(ctx, id); err != nil {
		return err
	}
	if err := errors.Join(s.removeVolumes(id), s.checkpoints.remove(id), s.Tuning.End(ctx, id), s.notifiers.Close(id)); err != nil {
		return err
	}
	if err := s.Records.DeleteContainer(ctx, id); err != nil {
		return err
	}
	return s.marks.clear(id)
}

// RemoveAll removes all containers of a pod, quarantined ones too.
func (s *Service) RemoveAll(ctx context.Context, podID string) error {
	return errors.Join(
		each(s.OfPod(podID), func(c *Container) error { return s.Remove(ctx, c) }),
		each(s.orphansOf(podID), func(id string) error {
			_, err := s.RemoveQuarantined(ctx, id)
			return err
		}))
}

// orphansOf are the ids of quarantined containers of a pod, as their labels
// have it: the record is what could not be read.
func (s *Service) orphansOf(podID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, record := range s.orphaned {
		if record.Labels[podLabel] == podID {
			ids = append(ids, id)
		}
	}
	return ids
}

// RemoveQuarantined removes a container whose record could not be read. False
// if id is not quarantined.
func (s *Service) RemoveQuarantined(ctx context.Context, id string) (bool, error) {
	s.mu.Lock()
	record, ok := s.orphaned[id]
	s.mu.Unlock()
	if !ok {
		return false, nil
	}
	if err := s.release(ctx, id, record.Snapshotter, true); err != nil {
		return true, err
	}
	s.mu.Lock()
	delete(s.orphaned, id)
	delete(s.quarantined, id)
	s.mu.Unlock()
	s.Log.InfoContext(ctx, "quarantined container is removed", telemetry.ContainerID, id)
	return true, nil
}
