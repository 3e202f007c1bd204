package spec_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// shelf is a spec.Classes: the class is in the annotations of container or pod.
type shelf struct{}

func (shelf) RDT(_ string, own, pods map[string]string) (string, error) {
	if own["rdt"] == "bad" {
		return "", fmt.Errorf("class: %w", errdefs.ErrInvalidArgument)
	}
	return own["rdt"] + pods["rdt"], nil
}

func (shelf) BlockIO(name string, own, _ map[string]string) (*specs.LinuxBlockIO, error) {
	switch own["blockio"] {
	case "":
		return nil, nil
	case name:
		return &specs.LinuxBlockIO{Weight: ptr(uint16(80))}, nil
	}
	return nil, fmt.Errorf("class: %w", errdefs.ErrFailedPrecondition)
}

func TestClasses(t *testing.T) {
	t.Parallel()
	in := func(own, pods map[string]string) spec.Input {
		in := plain()
		in.Base = &specs.Spec{Linux: &specs.Linux{IntelRdt: &specs.LinuxIntelRdt{ClosID: "base", L3CacheSchema: "L3:0=1"}}}
		in.Classes, in.Config.Annotations, in.Pod.Annotations = shelf{}, own, pods
		return in
	}
	s := build(t, in(map[string]string{"blockio": plain().Config.GetMetadata().GetName()}, map[string]string{"rdt": "gold"}))
	if want := (&specs.LinuxIntelRdt{ClosID: "gold"}); !reflect.DeepEqual(s.Linux.IntelRdt, want) {
		t.Errorf("RDT: %+v", s.Linux.IntelRdt)
	}
	if b := s.Linux.Resources.BlockIO; b == nil || *b.Weight != 80 {
		t.Errorf("block I/O: %+v", b)
	}
	s = build(t, in(nil, nil))
	if s.Linux.IntelRdt.ClosID != "base" || s.Linux.Resources.BlockIO != nil {
		t.Errorf("without classes: %+v, %+v", s.Linux.IntelRdt, s.Linux.Resources.BlockIO)
	}
	refused(t, in(map[string]string{"rdt": "bad"}, nil), wrong, "class")
	refused(t, in(map[string]string{"blockio": "bad"}, nil), lacks, "class")
}
