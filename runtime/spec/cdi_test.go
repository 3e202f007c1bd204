package spec_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// catalogue is a CDI that knows some devices.
type catalogue struct {
	known []string
	err   error
	asked *[]string
}

func (c catalogue) InjectDevices(_ *specs.Spec, names ...string) ([]string, error) {
	*c.asked = names
	var unknown []string
	for _, name := range names {
		if !slices.Contains(c.known, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown, c.err
}

func TestCDINames(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Config.CDIDevices = []*runtimeapi.CDIDevice{{Name: "v.test/gpu=1"}, {Name: "v.test/gpu=0"}, {Name: "v.test/gpu=1"}}
	in.Config.Annotations = map[string]string{"cdi.k8s.io/b": "v.test/nic=0", "cdi.k8s.io/a": "v.test/gpu=0,v.test/nic=1"}
	refused(t, in, lacks, "CDI is off")
	want := []string{"v.test/gpu=1", "v.test/gpu=0", "v.test/nic=0", "v.test/nic=1"}
	var asked []string
	in.CDI = catalogue{known: want, asked: &asked}
	for range 20 { // the annotations are a map
		build(t, in)
		if !slices.Equal(asked, want) {
			t.Fatalf("asked for %v, want %v", asked, want)
		}
	}
	in.CDI = catalogue{known: want, asked: &asked, err: errors.New("broken")}
	refused(t, in, lacks, "broken")
	in.CDI = catalogue{known: want[:3], asked: &asked, err: errors.New("unresolvable")}
	refused(t, in, wrong, `"v.test/nic=1" is described by no CDI file`)
	in.Config.Annotations = map[string]string{"cdi.k8s.io/a": "nonsense"}
	refused(t, in, wrong, "annotations", "nonsense")
}

func TestCDIFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cdi, err := spec.NewCDI(dir)
	if err != nil {
		t.Fatal(err)
	}
	in := plain()
	in.CDI = cdi
	in.Config.CDIDevices = []*runtimeapi.CDIDevice{{Name: "v.test/gpu=0"}}
	refused(t, in, wrong, "v.test/gpu=0")
	// The file comes after the cache, beside one that is broken.
	write(t, filepath.Join(dir, "broken.json"), "{")
	write(t, filepath.Join(dir, "v.json"), `{"cdiVersion": "0.6.0", "kind": "v.test/gpu",
		"devices": [{"name": "0", "containerEdits": {"env": ["GPU=0"], "deviceNodes": [{"path": "/dev/null"}]}}]}`)
	s := build(t, in)
	if !slices.Contains(s.Process.Env, "GPU=0") || !slices.Equal(devicePaths(s), []string{"/dev/null"}) {
		t.Fatalf("got %v and %v", s.Process.Env, s.Linux.Devices)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
