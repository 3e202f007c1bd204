package engine_test

import (
	"maps"
	"testing"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// TestHeldLabels has the labels by which containerd's garbage collector finds
// what a record needs, and leaves the caller's map alone.
func TestHeldLabels(t *testing.T) {
	t.Parallel()
	labels := map[string]string{"a": "b"}
	got := engine.HeldLabels(labels, "overlayfs", []string{"x", "y"})
	want := map[string]string{
		"a": "b", "containerd.io/gc.ref.snapshot.overlayfs/0": "x", "containerd.io/gc.ref.snapshot.overlayfs/1": "y",
	}
	if !maps.Equal(got, want) || len(labels) != 1 {
		t.Errorf("got %v, want %v; given %v", got, want, labels)
	}
	if got := engine.HeldLabels(nil, "overlayfs", []string{"x"}); len(got) != 1 {
		t.Errorf("without labels: %v", got)
	}
	if got := engine.HeldLabels(labels, "overlayfs", nil); !maps.Equal(got, labels) {
		t.Errorf("without views: %v", got)
	}
}
