package container_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
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

// special is a node whose pod has the handler of that name.
func special(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	var err error
	if n.pod, err = n.Pods.Run(t.Context(), podtest.Sandbox("special"), "special"); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestPlatformRuntimePath: an image of another platform has another OCI runtime.
func TestPlatformRuntimePath(t *testing.T) {
	t.Parallel()
	n := special(t)
	content := imagetest.NewContent("wasm")
	content.Config.Config.Entrypoint = []string{"/app.wasm"}
	content.Config.OS, content.Config.Architecture = "wasi", "wasm"
	if err := n.AddImage("registry.test/wasm:1", content); err != nil {
		t.Fatal(err)
	}
	wasm := n.create(t, "wasm", func(cfg *runtimeapi.ContainerConfig) { cfg.Image.Image = "registry.test/wasm:1" })
	if got := wasm.Handler.Options.BinaryName; got != "/usr/bin/crun-wasm" {
		t.Errorf("wasm runs on %q", got)
	}
	if got := n.create(t, "plain").Handler.Options.BinaryName; got != "" {
		t.Errorf("the node's own platform runs on %q", got)
	}
}

// TestContainerCreateTimeout of a handler counts instead of that of all.
func TestContainerCreateTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := special(t)
		n.On("Snapshots.Prepare", podtest.Before, none)
		begun := time.Now()
		_, err := n.Process.Containers.Create(t.Context(), n.pod, containertest.Config("server"))
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took < time.Second || took >= podtest.Config().CreateTimeout.Std() {
			t.Errorf("after %s: %v", took, err)
		}
	})
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
