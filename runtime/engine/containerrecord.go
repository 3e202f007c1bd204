package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/trivet-cri/trivet/internal/config"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
)

// specURL is the type under which containerd keeps OCI specs.
const specURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"

// ContainerRecord is a container as containerd keeps it.
type ContainerRecord struct {
	ID          string
	Labels      map[string]string
	Image       string // name in containerd's image store, which keeps the image alive
	Snapshotter string
	SnapshotKey string
	Views       []string // snapshots that it keeps alive beside; only written
	// SandboxID is of the sandbox whose shim runs the container; empty for a
	// shim of its own.
	SandboxID string
	Record    *recordv1.Container // nil for a pause container
	// What the OCI spec says; filled by ListContainers.
	User        specs.User
	CgroupsPath string
	MountLabel  string
	Resources   *specs.LinuxResources
	OOMScoreAdj *int
	// Err says why Record could not be read; the record can still be deleted.
	Err error
}

// CreateContainer writes a container's record with its OCI spec. The snapshot
// that it names need not exist yet: once it does, the record keeps it alive.
// An existing record is errdefs.ErrAlreadyExists.
func (e *Engine) CreateContainer(ctx context.Context, c ContainerRecord, spec *specs.Spec, handler config.Handler) error {
	runtime, err := runtimeOf(handler)
	if err != nil {
		return err
	}
	extensions := make(map[string]typeurl.Any)
	if c.Record != nil {
		if extensions[extension], err = pack(c.Record); err != nil {
			return err
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec of container %s: %w", c.ID, err)
	}
	// Without a sandbox of a shim's making the pod's id is not told to
	// containerd: it would look for a shim of the pod to join.
	_, err = e.client.ContainerService().Create(ctx, containers.Container{
		ID: c.ID, Labels: heldLabels(c.Labels, c.Snapshotter, c.Views), Image: c.Image, Runtime: runtime,
		Spec:        &anypb.Any{TypeUrl: specURL, Value: text},
		Snapshotter: c.Snapshotter, SnapshotKey: c.SnapshotKey, SandboxID: c.SandboxID,
		Extensions: extensions,
	})
	if err != nil {
		return fmt.Errorf("write record of container %s: %w", c.ID, err)
	}
	return nil
}

// UpdateContainer replaces the message in a container's record.
func (e *Engine) UpdateContainer(ctx context.Context, id string, record *recordv1.Container) error {
	message, err := pack(record)
	if err != nil {
		return err
	}
	_, err = e.client.ContainerService().Update(ctx, containers.Container{
		ID: id, Extensions: map[string]typeurl.Any{extension: message},
	}, "extensions."+extension)
	if err != nil {
		return fmt.Errorf("update record of container %s: %w", id, err)
	}
	return nil
}

// ContainerSpec reads the OCI spec in a container's record.
func (e *Engine) ContainerSpec(ctx context.Context, id string) (*specs.Spec, error) {
	found, err := e.client.ContainerService().Get(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read record of container %s: %w", id, err)
	}
	spec := &specs.Spec{}
	if err := json.Unmarshal(found.Spec.GetValue(), spec); err != nil {
		return nil, fmt.Errorf("decode spec of container %s: %w", id, err)
	}
	return spec, nil
}

// UpdateContainerSpec replaces the OCI spec in a container's record. A task
// that exists has its own.
func (e *Engine) UpdateContainerSpec(ctx context.Context, id string, spec *specs.Spec) error {
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode spec of container %s: %w", id, err)
	}
	_, err = e.client.ContainerService().Update(ctx, containers.Container{
		ID: id, Spec: &anypb.Any{TypeUrl: specURL, Value: text},
	}, "spec")
	if err != nil {
		return fmt.Errorf("update spec of container %s: %w", id, err)
	}
	return nil
}

// DeleteContainer removes a container's record; one that is not there is no
// error.
func (e *Engine) DeleteContainer(ctx context.Context, id string) error {
	if err := e.client.ContainerService().Delete(ctx, id); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete record of container %s: %w", id, err)
	}
	return nil
}

// ListContainers returns all records of containers that are ours, also
// unreadable ones. Pause containers, which have their pod's id and no message,
// are left out.
func (e *Engine) ListContainers(ctx context.Context) ([]ContainerRecord, error) {
	found, err := e.client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list records of containers: %w", err)
	}
	var all []ContainerRecord
	for _, c := range found {
		message, ours := c.Extensions[extension]
		if !ours {
			continue
		}
		one := ContainerRecord{
			ID: c.ID, Labels: c.Labels, Image: c.Image,
			Snapshotter: c.Snapshotter, SnapshotKey: c.SnapshotKey, Record: &recordv1.Container{},
		}
		one.Err = errors.Join(decode(message, one.Record), one.readSpec(c.Spec))
		all = append(all, one)
	}
	return all, nil
}

// readSpec takes out of the spec what is needed in memory.
func (c *ContainerRecord) readSpec(packed typeurl.Any) error {
	var s struct {
		Process struct {
			User        specs.User `json:"user"`
			OOMScoreAdj *int       `json:"oomScoreAdj"`
		} `json:"process"`
		Linux struct {
			CgroupsPath string                `json:"cgroupsPath"`
			MountLabel  string                `json:"mountLabel"`
			Resources   *specs.LinuxResources `json:"resources"`
		} `json:"linux"`
	}
	if packed == nil {
		return fmt.Errorf("record has no spec: %w", errdefs.ErrNotFound)
	}
	if err := json.Unmarshal(packed.GetValue(), &s); err != nil {
		return fmt.Errorf("decode spec: %w", err)
	}
	c.User, c.CgroupsPath, c.MountLabel = s.Process.User, s.Linux.CgroupsPath, s.Linux.MountLabel
	c.Resources, c.OOMScoreAdj = s.Linux.Resources, s.Process.OOMScoreAdj
	return nil
}

// runtimeOf is the runtime of a handler as containerd's records have it.
func runtimeOf(handler config.Handler) (containers.RuntimeInfo, error) {
	if handler.Type != runcShim {
		return genericOptions(handler)
	}
	packed, err := pack(runcOptions(handler.Options))
	if err != nil {
		return containers.RuntimeInfo{}, err
	}
	packed.TypeUrl = runcOptionsURL
	return containers.RuntimeInfo{Name: handler.Type, Options: packed}, nil
}

// runcOptionsURL is the library's own notation, without a host in front.
const runcOptionsURL = "containerd.runc.v1.Options"

func runcOptions(o config.Options) *runcoptions.Options {
	return &runcoptions.Options{
		BinaryName: o.BinaryName, Root: o.Root, SystemdCgroup: o.SystemdCgroup,
		NoPivotRoot: o.NoPivotRoot, NoNewKeyring: o.NoNewKeyring, ShimCgroup: o.ShimCgroup,
		IoUid: o.IoUID, IoGid: o.IoGID, CriuImagePath: o.CriuImagePath, CriuWorkPath: o.CriuWorkPath,
	}
}

// runcShim is the shim whose options containerd itself defines.
const runcShim = "io.containerd.runc.v2"

// genericOptions are what any other shim is given: the type it wants and the
// path or the text of its own configuration; nothing at all if none is set.
func genericOptions(handler config.Handler) (containers.RuntimeInfo, error) {
	o := handler.Options
	if o.TypeURL == "" && o.ConfigPath == "" && o.ConfigBody == "" {
		return containers.RuntimeInfo{Name: handler.Type}, nil
	}
	packed, err := pack(&runtimeoptions.Options{TypeUrl: o.TypeURL, ConfigPath: o.ConfigPath, ConfigBody: []byte(o.ConfigBody)})
	if err != nil {
		return containers.RuntimeInfo{}, err
	}
	packed.TypeUrl = "runtimeoptions.v1.Options"
	return containers.RuntimeInfo{Name: handler.Type, Options: packed}, nil
}
