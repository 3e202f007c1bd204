//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
)

// TestAnnotations starts a real pod that asks for all that annotations change
// of its files and its containers' processes.
func TestAnnotations(t *testing.T) {
	kubelet := t.TempDir()
	group := ownGroup(t, func(c *config.Config) {
		c.Runtime.KubeletRoot = kubelet
		c.Streamer.LogToJournald = true // that the machine need not have
		handler := c.Runtime.Handlers["runc"]
		handler.AllowedAnnotations = []string{"*.crio.io"}
		c.Runtime.Handlers["runc"] = handler
	})
	ctx := limit(t, 2*time.Minute)
	var volume string
	pod := need(group.RunPod(ctx, "annotated", func(c *runtimeapi.PodSandboxConfig) {
		c.Annotations = map[string]string{
			"shm-size.crio.io": "3Mi", "umask.crio.io": "0027", "link-logs.crio.io": "logs",
		}
		volume = filepath.Join(kubelet, "pods", c.GetMetadata().GetUid(), "volumes/kubernetes.io~empty-dir/logs")
		ok(t, os.MkdirAll(volume, 0o755))
		ok(t, os.MkdirAll(c.GetLogDirectory(), 0o755))
	}))(t)
	writer := need(pod.Run(ctx, "writer", func(c *runtimeapi.ContainerConfig) {
		c.Command = []string{"sh", "-c", "echo heard by others; umask; sleep 600"}
	}))(t)
	ok(t, writer.AwaitLog(ctx, "0027"))
	reader := need(pod.Run(ctx, "reader", func(c *runtimeapi.ContainerConfig) {
		c.Mounts = append(c.Mounts, &runtimeapi.Mount{HostPath: volume, ContainerPath: "/logs"})
	}))(t)
	scripts := map[string]string{
		"umask":                     "0027",
		"df -k /dev/shm":            "3072",
		"{ rm /logs/*.log; true; }": "Read-only file system",
		"echo x > /logs/x; echo $?": "1",
	}
	scripts["cat /logs/"+writer.ID+".log"] = "heard by others"
	for script, want := range scripts {
		if got := need(reader.Output(ctx, script+" 2>&1"))(t); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	ok(t, pod.Stop(ctx))
	if entries := need(os.ReadDir(volume))(t); len(entries) > 0 {
		t.Errorf("the volume of a pod that is stopped has %v", entries)
	}
}
