package spec_test

import (
	"maps"
	"testing"

	"github.com/trivet-cri/trivet/runtime/spec"
)

const (
	shimGroup = "io.containerd.runc.v2.group"
	sandboxID = "io.kubernetes.cri.sandbox-id"
)

func TestPassThrough(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Handler.PodAnnotations = []string{"pod.test/*", "exact", "[bad"}
	in.Handler.ContainerAnnotations = []string{"*.oci.test", "exact"}
	in.Pod.Annotations = map[string]string{"pod.test/a": "1", "pod.test/a/b": "2", "other": "3", "exact": "pod", "x.oci.test": "4"}
	in.Config.Annotations = map[string]string{"x.oci.test": "5", "exact": "container", "pod.test/c": "6"}
	want := map[string]string{
		"pod.test/a": "1", "exact": "container", "x.oci.test": "5",
		"io.kubernetes.cri.container-type":    "container",
		"io.kubernetes.cri.container-name":    "server",
		"io.kubernetes.cri.image-name":        in.ImageName,
		"io.kubernetes.cri.sandbox-name":      "web-0",
		"io.kubernetes.cri.sandbox-namespace": "shop",
		"io.kubernetes.cri.sandbox-uid":       "5e0ee7b4",
		spec.SandboxIDAnnotation:              in.PodID,
	}
	if got := build(t, in).Annotations; !maps.Equal(got, want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}

// TestShimGroup is about which annotations make runc's shim take further
// containers in: none, unless the operator wants it, and never a pod.
func TestShimGroup(t *testing.T) {
	t.Parallel()
	greedy := map[string]string{shimGroup: "mine", sandboxID: "mine", spec.SandboxIDAnnotation: "mine", "io.kubernetes.cri.container-type": "sandbox"}
	for name, test := range map[string]struct {
		kind  string
		globs []string
		key   string // of the annotation with the pod's id
	}{
		"runc":             {"io.containerd.runc.v2", []string{"*", "io.*"}, spec.SandboxIDAnnotation},
		"runc, configured": {"io.containerd.runc.v2", []string{sandboxID}, sandboxID},
		"VM":               {"io.containerd.kata.v2", []string{"*"}, sandboxID},
		"sandbox":          {"io.containerd.runsc.v1", nil, sandboxID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Handler.Type, in.Handler.PodAnnotations, in.Handler.ContainerAnnotations = test.kind, test.globs, test.globs
			in.Pod.Annotations, in.Config.Annotations = greedy, greedy
			got := build(t, in).Annotations
			if _, ok := got[shimGroup]; ok {
				t.Error("the container joins a group of shims")
			}
			for _, key := range []string{sandboxID, spec.SandboxIDAnnotation} {
				want := ""
				if key == test.key {
					want = in.PodID
				}
				if got[key] != want {
					t.Errorf("%s is %q, want %q", key, got[key], want)
				}
			}
			if got["io.kubernetes.cri.container-type"] != "container" {
				t.Error("the pod says what type the container is")
			}
		})
	}
}
