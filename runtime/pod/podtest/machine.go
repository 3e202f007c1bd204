package podtest

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/namespaces"
	"github.com/trivet-cri/trivet/runtime/podfiles"
)

// Pin is a pod's pinned namespaces.
type Pin struct {
	Request namespaces.Request // of Create
	Applied map[string]string  // sysctls of Apply
	Dead    bool               // the pins are plain files, as after a reboot
}

// Pins is a fake pod.Pins. Calls: Pins.Create, Pins.Apply, Pins.Remove.
type Pins struct {
	faults *Faults
	*things[Pin]
}

// Create is part of pod.Pins.
func (p *Pins) Create(ctx context.Context, r namespaces.Request) (namespaces.Paths, error) {
	err := p.faults.Do(ctx, "Pins.Create", func() error {
		if !r.Net && !r.IPC && !r.UTS && len(r.UIDs) == 0 {
			return fmt.Errorf("namespaces none: %w", errdefs.ErrInvalidArgument)
		}
		if _, ok := p.Get(r.ID); ok {
			return fmt.Errorf("pins of %s: %w", r.ID, errdefs.ErrAlreadyExists)
		}
		p.Put(r.ID, Pin{Request: r})
		return nil
	})
	if err != nil {
		return namespaces.Paths{}, err
	}
	paths, _, err := p.Paths(r.ID)
	return paths, err
}

// Apply is part of pod.Pins.
func (p *Pins) Apply(ctx context.Context, r namespaces.Request) error {
	return p.faults.Do(ctx, "Pins.Apply", func() error {
		pin, ok := p.Get(r.ID)
		if !ok {
			return fmt.Errorf("pins of %s: %w", r.ID, errdefs.ErrNotFound)
		}
		pin.Applied = r.Sysctls
		p.Put(r.ID, pin)
		return nil
	})
}

// Paths is part of pod.Pins.
func (p *Pins) Paths(id string) (paths namespaces.Paths, alive bool, err error) {
	pin, ok := p.Get(id)
	if !ok {
		return paths, false, nil
	}
	at := func(name string, has bool) string {
		if !has {
			return ""
		}
		return "/run/pins/" + id + "/" + name
	}
	r := pin.Request
	paths = namespaces.Paths{Net: at("net", r.Net), IPC: at("ipc", r.IPC), UTS: at("uts", r.UTS), User: at("user", len(r.UIDs) > 0)}
	return paths, !pin.Dead, nil
}

// Remove is part of pod.Pins.
func (p *Pins) Remove(ctx context.Context, id string) error {
	return p.faults.Do(ctx, "Pins.Remove", func() error {
		p.Drop(id)
		return nil
	})
}

// List is part of pod.Pins.
func (p *Pins) List() ([]string, error) { return p.IDs(), nil }

// Files is a fake pod.Files, with what each pod's were requested like. Calls:
// Files.Create, Files.Remove.
type Files struct {
	faults *Faults
	*things[podfiles.Request]
}

// Create is part of pod.Files.
func (f *Files) Create(ctx context.Context, id string, _ *runtimeapi.PodSandboxConfig, r podfiles.Request) (podfiles.Files, error) {
	err := f.faults.Do(ctx, "Files.Create", func() error {
		f.Put(id, r)
		return nil
	})
	if err != nil {
		return podfiles.Files{}, err
	}
	return f.Paths(id), nil
}

// Paths is part of pod.Files.
func (f *Files) Paths(id string) podfiles.Files {
	dir := "/run/files/" + id + "/"
	r, _ := f.Get(id)
	return podfiles.Files{Hostname: dir + "hostname", Hosts: dir + "hosts", ResolvConf: dir + "resolv.conf", Shm: dir + "shm", Logs: r.LogVolume}
}

// Exists is part of pod.Files.
func (f *Files) Exists(id string) (bool, error) {
	_, ok := f.Get(id)
	return ok, nil
}

// Remove is part of pod.Files.
func (f *Files) Remove(ctx context.Context, id string) error {
	return f.faults.Do(ctx, "Files.Remove", func() error {
		f.Drop(id)
		return nil
	})
}

// List is part of pod.Files.
func (f *Files) List() ([]string, error) { return f.IDs(), nil }
