//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// stage is what all tests share; binaries is where Trivet has been built.
var (
	stage    *harness.Stage
	workDir  string
	binaries string
)

func TestMain(m *testing.M) {
	if os.Getenv(api.PluginNameEnvVar) != "" {
		lastingPlugin() // has been started by a runtime under test
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := stage.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the stage did not end cleanly:", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "the logs are in", workDir)
		return code
	}
	_ = os.RemoveAll(workDir)
	return 0
}

func setUp(ctx context.Context) (err error) {
	if workDir, err = os.MkdirTemp("", "trivet-e2e-"); err != nil {
		return err
	}
	// Root of a pod with a user namespace is nobody here, and must get through.
	if err := os.Chmod(workDir, 0o711); err != nil {
		return err
	}
	if err := harness.BuildLab(ctx, os.Stderr); err != nil {
		return err
	}
	stage, err = harness.StartStage(ctx, harness.StageOptions{Dir: workDir, Jaeger: true})
	if err != nil {
		return err
	}
	binaries = filepath.Dir(stage.Group.Trivet())
	_, err = stage.CRI().Pull(ctx, harness.Busybox)
	return err
}

// limit is the context of a test that must end in time.
func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// ok ends the test on an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// need returns the value of a call, or ends the test on its error:
//
//	pod := need(group.RunPod(ctx, "name"))(t)
func need[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// says ends the test unless err names every part.
func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("error does not say %q: %v", part, err)
		}
	}
}

// ownGroup starts a group for this test alone; its pods are removed at the end.
func ownGroup(t *testing.T, edits ...func(*config.Config)) *harness.Group {
	t.Helper()
	group := need(harness.StartGroup(limit(t, time.Minute), stage.Lab, ownOptions(t, edits...)))(t)
	cleanUp(t, group)
	need(group.Pull(limit(t, time.Minute), harness.Busybox))(t)
	return group
}

// cleanUp removes a group's pods and the group at the end of the test.
func cleanUp(t *testing.T, group *harness.Group) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := group.Purge(ctx); err != nil {
			t.Errorf("remove pods of own group: %v", err)
		}
		if err := group.Stop(); err != nil {
			t.Errorf("stop own group: %v", err)
		}
		if t.Failed() {
			t.Logf("the log of the group is %s", group.Log())
		}
	})
}

// ownOptions are those of a group with directories and a containerd
// namespace of its own.
func ownOptions(t *testing.T, edits ...func(*config.Config)) harness.GroupOptions {
	t.Helper()
	name := "g" + harness.Unique()[:8]
	return harness.GroupOptions{
		Dir: filepath.Join(workDir, name), BinDir: binaries,
		Edit: func(c *config.Config) {
			c.Containerd.Namespace = name
			for _, edit := range edits {
				edit(c)
			}
		},
	}
}

// runPod runs a pod that is removed at the end of the test.
func runPod(t *testing.T, cri *harness.CRI, name string, edits ...harness.PodEdit) *harness.Pod {
	t.Helper()
	pod := need(cri.RunPod(limit(t, time.Minute), name, edits...))(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := pod.Remove(ctx); err != nil {
			t.Errorf("remove pod %s: %v", name, err)
		}
	})
	return pod
}
