package imagevolume_test

import (
	"reflect"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/trivet-cri/trivet/runtime/imagevolume"
)

func TestReadOnly(t *testing.T) {
	t.Parallel()
	given := []mount.Mount{
		{Type: "bind", Options: []string{"rw", "rbind"}},
		{Type: "overlay", Options: []string{"ro", "lowerdir=/a:/b"}},
	}
	want := []mount.Mount{
		{Type: "bind", Options: []string{"rbind", "ro"}},
		{Type: "overlay", Options: []string{"lowerdir=/a:/b", "ro", `context="u:r:t:s0:c1,c2"`}},
	}
	if got := imagevolume.ReadOnly(given, "u:r:t:s0:c1,c2"); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want[1].Options = want[1].Options[:2]
	if got := imagevolume.ReadOnly(given, ""); !reflect.DeepEqual(got, want) {
		t.Errorf("without a label: got %+v, want %+v", got, want)
	}
	if given[0].Options[0] != "rw" {
		t.Error("what was given is changed")
	}
}
