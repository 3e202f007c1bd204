//go:build e2e

package golden_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// declaring is an image that declares whatever an image can.
const declaring = "registry.k8s.io/trivet-test/declaring:1"

// images are those that requests name.
var images = []string{
	harness.Busybox, harness.Nginx, declaring,
	"registry.k8s.io/e2e-test-images/nonewprivs:1.3",
	"gcr.io/k8s-staging-cri-tools/test-image-user-uid-group:latest",
	"gcr.io/k8s-staging-cri-tools/test-image-user-username-group:latest",
	"gcr.io/k8s-staging-cri-tools/test-image-predefined-group:latest",
}

// What all tests share: both sides on one containerd, and the machine's parts
// that requests refer to.
var (
	builtIn, trivet *side
	host            *machine
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "trivet-golden-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for the roots of user namespaces
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	world, err := open(ctx, dir)
	code := 1
	if err == nil {
		code = m.Run()
	}
	if err := errors.Join(err, world.close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "the logs are in", dir)
		return code
	}
	_ = os.RemoveAll(dir)
	return 0
}

// world is what is started.
type world struct {
	lab   *harness.Lab
	group *harness.Group
	cri   *harness.CRI
	ctrd  *containerd.Client
}

// open starts a lab with the built-in plugin, and a group on it.
func open(ctx context.Context, dir string) (*world, error) {
	w := &world{}
	if err := harness.BuildLab(ctx, os.Stderr); err != nil {
		return w, err
	}
	binaries, err := harness.Build(ctx, filepath.Join(dir, "bin"))
	if err != nil {
		return w, err
	}
	if host, err = newMachine(filepath.Join(dir, "host")); err != nil {
		return w, err
	}
	if w.lab, err = harness.StartLab(ctx, harness.LabOptions{Dir: filepath.Join(dir, "lab"), CRI: true, CRIConfig: host.builtInConfig()}); err != nil {
		return w, err
	}
	host.cgroup = w.lab.CgroupParent
	if w.ctrd, err = containerd.New(w.lab.ContainerdSocket); err != nil {
		return w, err
	}
	if w.cri, err = harness.StartBaseline(ctx, w.lab); err != nil {
		return w, err
	}
	if builtIn, err = openSide(ctx, "built-in", w.cri, w.lab.Namespace, w.ctrd); err != nil {
		return w, err
	}
	// The plugin looks for cgroup controllers when a request first needs them,
	// Trivet when it starts: other labs on the machine may come and go between.
	if _, err := builtIn.createdSpec(ctx, "first", request{pod: "plain", edit: limits(&runtimeapi.LinuxContainerResources{})}); err != nil {
		return w, err
	}
	w.group, err = harness.StartGroup(ctx, w.lab, harness.GroupOptions{
		Dir: filepath.Join(dir, "trivet"), BinDir: binaries,
		Edit: func(c *config.Config) { c.Containerd.Namespace = "golden"; host.configure(c) },
	})
	if err != nil {
		return w, err
	}
	trivet, err = openSide(ctx, "Trivet", w.group.CRI, "golden", w.ctrd)
	return w, err
}

// openSide pulls what requests need.
func openSide(ctx context.Context, name string, cri *harness.CRI, namespace string, ctrd *containerd.Client) (*side, error) {
	for _, image := range images {
		if _, err := cri.Pull(ctx, image); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return newSide(name, cri, namespace, ctrd), nil
}

// close ends what open has started.
func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var failed []error
	if w.group != nil {
		failed = append(failed, w.group.Purge(ctx), w.group.Stop())
	}
	if w.cri != nil {
		failed = append(failed, w.cri.Purge(ctx), w.cri.Close())
	}
	for _, s := range []*side{builtIn, trivet} {
		if s != nil {
			failed = append(failed, s.removeDirs())
		}
	}
	if w.ctrd != nil {
		failed = append(failed, w.ctrd.Close())
	}
	if w.lab != nil {
		failed = append(failed, w.lab.Stop())
	}
	if host != nil {
		failed = append(failed, host.close())
	}
	return errors.Join(failed...)
}
