package spec_test

import (
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestProcessRefused(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*runtimeapi.ContainerConfig){
		`command[1] "a\x00b"`: func(c *runtimeapi.ContainerConfig) { c.Command = []string{"x", "a\x00b"} },
		`args[0] "\x00"`:      func(c *runtimeapi.ContainerConfig) { c.Args = []string{"\x00"} },
		`working_dir "/\x00"`: func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/\x00" },
		`envs[0].key "" is empty`: func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Value: []byte("x")}}
		},
		`envs[1].key "A=B"`: func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "A"}, {Key: "A=B"}}
		},
		`envs[0].value "a\x00"`: func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "A", Value: []byte("a\x00")}}
		},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			in := plain()
			change(in.Config)
			refused(t, in, wrong, says)
		})
	}
}
