package pod_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestFilesByAnnotation(t *testing.T) {
	t.Parallel()
	root, elsewhere := t.TempDir(), t.TempDir()
	// The kubelet's directory is often a link itself.
	kubelet := filepath.Join(root, "kubelet")
	if err := os.Symlink(elsewhere, kubelet); err != nil {
		t.Fatal(err)
	}
	w := podtest.New()
	deps := w.Deps()
	deps.Config.KubeletRoot = kubelet
	s := pod.New(deps)
	t.Cleanup(s.Close)
	run := func(name, handler string, annotations map[string]string) (*pod.Pod, error) {
		cfg := podtest.Sandbox(name)
		cfg.Annotations = annotations
		return s.Run(t.Context(), cfg, handler)
	}
	p, err := run("plain", "annotated", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := w.Files.Get(p.ID); r.ShmSize != 0 || r.LogVolume != "" || p.Files.Logs != "" {
		t.Errorf("without annotations: %+v", r)
	}
	asked := map[string]string{"io.kubernetes.cri-o.ShmSize": "128Mi", "link-logs.crio.io": "logs"}
	if p, err = run("asking", "annotated", asked); err != nil {
		t.Fatal(err)
	}
	volume := filepath.Join(elsewhere, "pods", p.Config.GetMetadata().GetUid(), "volumes/kubernetes.io~empty-dir/logs")
	if r, _ := w.Files.Get(p.ID); r.ShmSize != 128<<20 || r.LogVolume != volume || p.Files.Logs != volume {
		t.Errorf("got %+v, want the volume %s", r, volume)
	}
	if p, err = run("forbidden", "", asked); err != nil {
		t.Fatal(err)
	}
	if r, _ := w.Files.Get(p.ID); r.ShmSize != 0 || r.LogVolume != "" {
		t.Errorf("not allowed: %+v", r)
	}
	for key, values := range map[string][]string{
		"shm-size.crio.io": {"", "many", "0", "-1Gi", "1000Ei"}, "link-logs.crio.io": {"", "..", "a/b", "A", strings.Repeat("x", 64)},
	} {
		for _, value := range values {
			_, err := run("wrong", "annotated", map[string]string{key: value})
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), key) {
				t.Errorf("%s %q: %v", key, value, err)
			}
		}
	}
}
