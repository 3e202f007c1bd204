package spec_test

import (
	"slices"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestLogVolume: whoever could write to where logs are could make links that
// the writer of logs follows.
func TestLogVolume(t *testing.T) {
	t.Parallel()
	const pod = "/var/lib/kubelet/pods/uid/"
	for source, want := range map[string]string{
		pod + "volumes/kubernetes.io~empty-dir/logs":        "ro",
		pod + "volumes/kubernetes.io~empty-dir/logs/server": "ro",
		pod + "volume-subpaths/logs/server/0":               "ro",
		pod + "volumes/kubernetes.io~empty-dir/logs2":       "rw",
		pod + "volume-subpaths/other/server/0":              "rw",
		pod + "volumes/kubernetes.io~secret/logs":           "rw",
	} {
		in := plain()
		in.Files.Logs = pod + "volumes/kubernetes.io~empty-dir/logs"
		in.Config.Mounts = []*runtimeapi.Mount{{HostPath: source, ContainerPath: "/logs"}}
		if m, _ := mountAt(t, build(t, in), "/logs"); !slices.Contains(m.Options, want) {
			t.Errorf("%s: %q, want %s", source, m.Options, want)
		}
	}
}
