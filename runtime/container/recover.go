package container

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Recover reads the containers' records, so that they can be listed. Whether
// those that were started still run, Watch finds out afterwards. The pods must
// have been recovered. A record that cannot be read, or whose pod is not
// there, is quarantined.
func (s *Service) Recover(ctx context.Context) error {
	records, err := s.Records.ListContainers(ctx)
	if err != nil {
		return err
	}
	found := make(map[string]*Container, len(records))
	for _, r := range records {
		c, err := s.revive(r)
		if err != nil {
			s.Log.ErrorContext(ctx, "record of a container is quarantined: RemoveContainer removes it", telemetry.ContainerID, r.ID, "error", err)
			s.mu.Lock()
			s.quarantined[r.ID], s.orphaned[r.ID] = err, r
			s.mu.Unlock()
			continue
		}
		s.mu.Lock()
		s.byKey[c.key] = c.ID
		s.mu.Unlock()
		s.relabel(c)
		s.hearAgain(ctx, c)
		found[c.ID] = c
	}
	s.containers.PutAll(found)
	keep := s.known() // also quarantined ones, which may run
	s.untuneEnded(ctx, func(id string) bool { return !keep[id] || found[id] != nil && !found[id].Running() })
	s.Log.InfoContext(ctx, "containers are recovered", "containers", len(found), "quarantined", len(records)-len(found))
	return nil
}

// revive makes a container of its record.
func (s *Service) revive(r engine.ContainerRecord) (*Container, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	cfg := &runtimeapi.ContainerConfig{}
	if err := proto.Unmarshal(r.Record.GetConfig(), cfg); err != nil {
		return nil, fmt.Errorf("decode container's configuration: %w", err)
	}
	p, err := s.Pods.Get(r.Record.GetPodId())
	if err != nil {
		return nil, fmt.Errorf("find the container's pod: %w", err)
	}
	c := newContainer(r.ID, r.Record, cfg)
	c.snapshotter = r.Snapshotter
	c.User, c.cgroupsPath, c.mountLabel = r.User, r.CgroupsPath, r.MountLabel
	c.limits.Store(spec.Limits(r.Resources, r.OOMScoreAdj))
	s.settle(c, p)
	how, marked := s.marks.get(r.ID)
	switch {
	case r.Record.GetFinishedAt() != nil:
		c.publish(func(st *State) { st.restore(r.Record) })
	case marked && how.Step == creating:
		// The start was cut short before its process was: it can be started anew.
		c.unsure = true
	case marked:
		c.publish(func(st *State) {
			st.Phase, st.StartedAt, st.PID = runtimeapi.ContainerState_CONTAINER_RUNNING, how.Begun, how.PID
			st.Unsettled = how.Step == starting
		})
	case !p.State().Ready:
		// Its pod ended with the machine: nobody knows how it did. What is said
		// now is kept, so that it is said again.
		record := s.exitRecord(c, lost("the machine was restarted, or the pod has ended without it"))
		c.conclude(record)
		s.keep(c, record)
	}
	return c, nil
}

// Sweep removes what containers that do not exist have left with the streamer
// and on this machine.
func (s *Service) Sweep(ctx context.Context) error {
	marked, err := s.marks.list()
	if err != nil {
		return err
	}
	volumes, err := s.listVolumes()
	if err != nil {
		return err
	}
	imageVolumes, err := s.ImageVolumes.List()
	if err != nil {
		return err
	}
	notifiers, err := s.notifiers.List()
	if err != nil {
		return err
	}
	restores, err := s.checkpoints.list()
	if err != nil {
		return err
	}
	asOf := time.Now()
	keep := s.known()
	for _, left := range []struct {
		ids    []string
		remove func(id string) error
		says   string // empty for what is not worth a line
	}{
		{marked, s.marks.clear, ""},
		{notifiers, s.notifiers.Close, ""},
		{volumes, s.removeVolumes, "leftover volumes are removed"},
		{imageVolumes, func(id string) error { return s.ImageVolumes.Remove(ctx, id) }, "leftover image volumes are removed"},
		{restores, s.checkpoints.remove, "leftover checkpoint is removed"},
	} {
		for _, id := range left.ids {
			if keep[id] {
				continue
			}
			if err := left.remove(id); err != nil {
				return err
			}
			if left.says != "" {
				s.Log.InfoContext(ctx, left.says, telemetry.ContainerID, id)
			}
		}
	}
	s.untuneEnded(ctx, func(id string) bool {
		c := s.All()[id]
		return !keep[id] || c != nil && c.State().Phase == runtimeapi.ContainerState_CONTAINER_EXITED
	})
	ids := make([]string, 0, len(keep))
	for id := range keep {
		ids = append(ids, id)
	}
	response, err := s.Streams.Sweep(ctx, &streamerv1.SweepRequest{ContainerIds: ids, AsOf: timestamppb.New(asOf)})
	if err != nil {
		return fmt.Errorf("sweep streams: %w", err)
	}
	if len(response.GetRemoved()) > 0 {
		s.Log.InfoContext(ctx, "leftover streams are removed", "containers", response.GetRemoved())
	}
	return nil
}

// known are the ids of containers, of those that are starting, and of quarantined
// ones.
func (s *Service) known() map[string]bool {
	keep := s.containers.Known()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.quarantined {
		keep[id] = true
	}
	return keep
}
