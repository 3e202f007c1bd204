package container_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestLinkLog(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	dir := t.TempDir()
	begin := func(name string, annotations map[string]string) *pod.Pod {
		sandbox := podtest.Sandbox(name)
		sandbox.LogDirectory, sandbox.Annotations = dir, annotations
		p, err := n.Pods.Run(t.Context(), sandbox, "annotated")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	cfg := containertest.Config("server")
	cfg.LogPath = "./server/0.log"
	c, err := n.Process.Containers.Create(t.Context(), begin("quiet", nil), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, c.ID+".log")); err == nil {
		t.Error("a link is made for nobody")
	}
	p := begin("shows", map[string]string{"link-logs.crio.io": "logs"})
	if c, err = n.Process.Containers.Create(t.Context(), p, cfg); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(filepath.Join(dir, c.ID+".log")); err != nil || target != "server/0.log" {
		t.Errorf("the link is to %q, %v", target, err)
	}
	if err := n.Process.Containers.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
	// A failed creation leaves none.
	n.Faults.Fail("Snapshots.Prepare", podtest.Before, 1)
	_, err = n.Process.Containers.Create(t.Context(), p, containertest.Config("server"))
	if entries, _ := os.ReadDir(dir); err == nil || len(entries) > 0 {
		t.Errorf("after a failed creation, %v: left are %v", err, entries)
	}
}
