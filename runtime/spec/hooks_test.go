package spec_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/ocihooks"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// TestHooks go by what the request says of the container, and the pod's
// annotations count before its own.
func TestHooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := `{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": ["poststop"],
		"when": {"annotations": {"^trace$": "^pod$", "^own$": "^yes$"}, "commands": ["^/bin/server$"], "hasBindMounts": true}}`
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	hooks, err := ocihooks.Load([]string{dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*spec.Input)
		want   bool
	}{
		"all conditions":    {func(*spec.Input) {}, true},
		"no mounts":         {func(in *spec.Input) { in.Config.Mounts = nil }, false},
		"another command":   {func(in *spec.Input) { in.Config.Command = []string{"/bin/sh"} }, false},
		"not the pod's":     {func(in *spec.Input) { in.Pod.Annotations = nil }, false},
		"no hooks at all":   {func(in *spec.Input) { in.Hooks = nil }, false},
		"not the container": {func(in *spec.Input) { delete(in.Config.Annotations, "own") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Hooks = hooks
			in.Pod.Annotations = map[string]string{"trace": "pod"}
			in.Config.Annotations = map[string]string{"trace": "container", "own": "yes"}
			in.Config.Mounts = []*runtimeapi.Mount{{HostPath: "/host", ContainerPath: "/x"}}
			test.change(&in)
			if s := build(t, in); (s.Hooks != nil && len(s.Hooks.Poststop) == 1) != test.want {
				t.Errorf("hooks are %+v", s.Hooks)
			}
		})
	}
}
