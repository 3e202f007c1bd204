package containertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-cri/trivet/internal/config"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// Container is a record with its spec.
type Container struct {
	engine.ContainerRecord
	Spec *specs.Spec
}

// Containers is a fake container.Records. Calls: Containers.Create,
// Containers.Update, Containers.Delete, Containers.List, Containers.Spec,
// Containers.UpdateSpec.
type Containers struct {
	faults *podtest.Faults
	mu     sync.Mutex
	all    map[string]Container
}

// CreateContainer is part of container.Records.
func (c *Containers) CreateContainer(ctx context.Context, r engine.ContainerRecord, s *specs.Spec, _ config.Handler) error {
	return c.faults.Do(ctx, "Containers.Create", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, ok := c.all[r.ID]; ok {
			return fmt.Errorf("container %s: %w", r.ID, errdefs.ErrAlreadyExists)
		}
		r.Record = copied(r.Record)
		if s.Process != nil && s.Linux != nil {
			r.User, r.CgroupsPath, r.MountLabel = s.Process.User, s.Linux.CgroupsPath, s.Linux.MountLabel
			r.Resources, r.OOMScoreAdj = s.Linux.Resources, s.Process.OOMScoreAdj
		}
		c.all[r.ID] = Container{ContainerRecord: r, Spec: s}
		return nil
	})
}

// UpdateContainer is part of container.Records.
func (c *Containers) UpdateContainer(ctx context.Context, id string, record *recordv1.Container) error {
	return c.faults.Do(ctx, "Containers.Update", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		one, ok := c.all[id]
		if !ok {
			return fmt.Errorf("container %s: %w", id, errdefs.ErrNotFound)
		}
		one.Record = copied(record)
		c.all[id] = one
		return nil
	})
}

// DeleteContainer is part of container.Records.
func (c *Containers) DeleteContainer(ctx context.Context, id string) error {
	return c.faults.Do(ctx, "Containers.Delete", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.all, id)
		return nil
	})
}

// ListContainers is part of container.Records.
func (c *Containers) ListContainers(ctx context.Context) (list []engine.ContainerRecord, err error) {
	err = c.faults.Do(ctx, "Containers.List", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, one := range c.all {
			one.Record = copied(one.Record)
			list = append(list, one.ContainerRecord)
		}
		return nil
	})
	return list, err
}

// ContainerSpec is part of container.Specs.
func (c *Containers) ContainerSpec(ctx context.Context, id string) (s *specs.Spec, err error) {
	err = c.faults.Do(ctx, "Containers.Spec", func() error {
		one, ok := c.Get(id)
		if !ok {
			return fmt.Errorf("container %s: %w", id, errdefs.ErrNotFound)
		}
		s = one.Spec
		return nil
	})
	return s, err
}

// UpdateContainerSpec is part of container.Specs.
func (c *Containers) UpdateContainerSpec(ctx context.Context, id string, s *specs.Spec) error {
	return c.faults.Do(ctx, "Containers.UpdateSpec", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		one, ok := c.all[id]
		if !ok {
			return fmt.Errorf("container %s: %w", id, errdefs.ErrNotFound)
		}
		one.Spec, one.Resources, one.OOMScoreAdj = s, s.Linux.Resources, s.Process.OOMScoreAdj
		c.all[id] = one
		return nil
	})
}

// Get returns one.
func (c *Containers) Get(id string) (Container, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one, ok := c.all[id]
	return one, ok
}

// Put adds or replaces one, unasked.
func (c *Containers) Put(one Container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[one.ID] = one
}

// IDs are those that exist, sorted.
func (c *Containers) IDs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.all))
}

func copied(record *recordv1.Container) *recordv1.Container {
	if record == nil {
		return nil
	}
	return proto.Clone(record).(*recordv1.Container)
}

// Snapshots is a fake container.Snapshots: snapshotters by key. Calls:
// Snapshots.Prepare, Snapshots.Mounts, Snapshots.Remove, Snapshots.View.
type Snapshots struct {
	faults *podtest.Faults
	root   string
	mu     sync.Mutex
	all    map[string]string
	labels map[string]string
}

// PrepareRootfs is part of container.Snapshots.
func (s *Snapshots) PrepareRootfs(ctx context.Context, snapshotter, key, _ string, labels map[string]string) ([]mount.Mount, error) {
	err := s.faults.Do(ctx, "Snapshots.Prepare", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all[key], s.labels = snapshotter, labels
		return nil
	})
	return []mount.Mount{{Type: "overlay", Source: key}}, err
}

// Labels are those of the newest snapshot.
func (s *Snapshots) Labels() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.labels
}

// RootfsMounts is part of container.Snapshots.
func (s *Snapshots) RootfsMounts(ctx context.Context, snapshotter, key string) ([]mount.Mount, error) {
	err := s.faults.Do(ctx, "Snapshots.Mounts", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.all[key] != snapshotter {
			return fmt.Errorf("snapshot %s in %q: %w", key, snapshotter, errdefs.ErrNotFound)
		}
		return nil
	})
	return []mount.Mount{{Type: "overlay", Source: key}}, err
}

// RemoveRootfs is part of container.Snapshots.
func (s *Snapshots) RemoveRootfs(ctx context.Context, snapshotter, key string) error {
	return s.faults.Do(ctx, "Snapshots.Remove", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.all[key] == snapshotter {
			delete(s.all, key)
		}
		return nil
	})
}

// WithImage is part of container.Snapshots.
func (s *Snapshots) WithImage(ctx context.Context, _, _ string, read func(root string) error) error {
	return s.faults.Do(ctx, "Snapshots.View", func() error { return read(s.root) })
}

// IDs are the keys that exist, sorted.
func (s *Snapshots) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.all))
}
