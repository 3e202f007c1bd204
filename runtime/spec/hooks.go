package spec

import (
	"maps"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/ocihooks"
)

// setHooks adds the node's hooks. What they are for is the operator's choice,
// so that they go by all annotations of the request.
func setHooks(in *Input, s *specs.Spec) error {
	annotations := make(map[string]string)
	maps.Copy(annotations, in.Config.GetAnnotations())
	maps.Copy(annotations, in.Pod.GetAnnotations())
	in.Hooks.Add(s, ocihooks.Container{
		Args: s.Process.Args, Annotations: annotations, BindMounts: len(in.Config.GetMounts()) > 0,
	})
	return nil
}
