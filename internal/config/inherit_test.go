package config_test

import (
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
)

const inheriting = `
[runtime.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
runtime_path = '/shim'
[runtime.runtimes.runc.options]
BinaryName = 'crun'
Root = '/run/crun'
SystemdCgroup = true
[runtime.runtimes.small]
inherit_default_runtime = true
container_annotations = ['x']
[runtime.runtimes.small.options]
Root = '/run/small'
[runtime.runtimes.plain]
runtime_type = 'io.containerd.runc.v2'
`

func TestInheritDefaultRuntime(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("f", []byte(inheriting))
	if err != nil {
		t.Fatal(err)
	}
	small, plain := cfg.Runtime.Handlers["small"], cfg.Runtime.Handlers["plain"]
	want := config.Options{BinaryName: "crun", Root: "/run/small", SystemdCgroup: true}
	if small.Type != "io.containerd.runc.v2" || small.Path != "/shim" || small.Options != want || len(small.ContainerAnnotations) != 1 {
		t.Errorf("got %+v", small)
	}
	if plain.Path != "" || plain.Options != (config.Options{}) {
		t.Errorf("one that does not ask for it got %+v", plain)
	}
	_, err = config.Parse("f", []byte(inheriting+"[runtime.runtimes.kata]\nruntime_type = 'kata'\ninherit_default_runtime = true\n"))
	if err == nil || err.Error() != `f:18: runtime.runtimes.kata.inherit_default_runtime: runtime_type "kata" is not that of the default handler, "io.containerd.runc.v2"` {
		t.Errorf("another type: %v", err)
	}
}
