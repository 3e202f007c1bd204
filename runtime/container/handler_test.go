package container_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// unpacker counts what is unpacked where.
type unpacker struct {
	container.Images
	done map[string]*atomic.Int32 // by snapshotter
}

func (u unpacker) EnsureUnpacked(_ context.Context, _ image.Image, snapshotter string) error {
	u.done[snapshotter].Add(1)
	return nil
}

// TestOtherSnapshotter: an image that was pulled for another snapshotter is
// unpacked when a container needs it, and only then.
func TestOtherSnapshotter(t *testing.T) {
	t.Parallel()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u := unpacker{Images: w.Images, done: map[string]*atomic.Int32{"native": {}, "overlayfs": {}}}
	process, err := w.Start(func(d *container.Deps) { d.Images = u })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Close() }()
	missing := func(context.Context) error {
		if u.done["native"].Load() == 0 {
			return fmt.Errorf("parent snapshot: %w", errdefs.ErrNotFound)
		}
		return nil
	}
	for _, call := range []string{"Snapshots.View", "Snapshots.Prepare"} {
		u.done["native"].Store(0)
		w.On(call, podtest.Before, missing)
		p, err := process.Pods.Run(t.Context(), podtest.Sandbox(strings.ToLower(call)), "other")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process.Containers.Create(t.Context(), p, containertest.Config("c")); err != nil {
			t.Errorf("%s: %v", call, err)
		}
		w.On(call, podtest.Before, nil)
	}
	p, err := process.Pods.Run(t.Context(), podtest.Sandbox("plain"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.Containers.Create(t.Context(), p, containertest.Config("c")); err != nil {
		t.Error(err)
	}
	if n := u.done["overlayfs"].Load(); n > 0 {
		t.Errorf("%d needless calls", n)
	}
}

// TestSandboxOfContainers: containers join the shim of their pod's sandbox.
func TestSandboxOfContainers(t *testing.T) {
	t.Parallel()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	process, err := w.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Close() }()
	for _, handler := range []string{"vm", "runc"} {
		p, err := process.Pods.Run(t.Context(), podtest.Sandbox(handler), handler)
		if err != nil {
			t.Fatal(err)
		}
		c, err := process.Containers.Create(t.Context(), p, containertest.Config("c"))
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if handler == "vm" {
			want = p.ID
		}
		if record, ok := w.Containers.Get(c.ID); !ok || record.SandboxID != want {
			t.Errorf("%s: sandbox %q, want %q", handler, record.SandboxID, want)
		}
	}
}

// TestHandlerLacksFeature: the handler is named, and nothing is left.
func TestHandlerLacksFeature(t *testing.T) {
	t.Parallel()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.Handlers["other"] = spec.Features{}
	process, err := w.Start(func(d *container.Deps) { d.Host.RecursiveReadOnly = true })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Close() }()
	cfg := containertest.Config("c")
	cfg.Mounts = []*runtimeapi.Mount{{HostPath: t.TempDir(), ContainerPath: "/data", Readonly: true, RecursiveReadOnly: true}}
	for handler, fine := range map[string]bool{"runc": true, "other": false} {
		p, err := process.Pods.Run(t.Context(), podtest.Sandbox(handler), handler)
		if err != nil {
			t.Fatal(err)
		}
		_, err = process.Containers.Create(t.Context(), p, cfg)
		if fine != (err == nil) || !fine && (!errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), `"other"`)) {
			t.Errorf("%s: %v", handler, err)
		}
	}
}
