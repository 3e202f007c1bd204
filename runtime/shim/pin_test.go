package shim_test

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/cpuset"
	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/shim"
)

func TestPin(t *testing.T) {
	t.Parallel()
	id := ident.New()
	own := sleeper(t, "-namespace", "k8s.io", "-id", id).Process.Pid
	other := sleeper(t, "-namespace", "k8s.io", "-id", ident.New()).Process.Pid
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(own, &before); err != nil {
		t.Fatal(err)
	}
	first := 0
	for !before.IsSet(first) {
		first++
	}
	if err := shim.Pin(id, cpuset.Of(first)); err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedGetaffinity(own, &after); err != nil || after.Count() != 1 || !after.IsSet(first) {
		t.Errorf("the shim has %v, %v", after, err)
	}
	if err := unix.SchedGetaffinity(other, &after); err != nil || after != before {
		t.Errorf("another shim has %v, %v", after, err)
	}
	if err := shim.Pin(id, cpuset.Of(1023)); !errors.Is(err, unix.EINVAL) && !before.IsSet(1023) {
		t.Errorf("a processor that is not there: %v", err)
	}
	if err := shim.Pin(ident.New(), cpuset.Of(first)); !errdefs.IsNotFound(err) {
		t.Errorf("no shim: %v", err)
	}
}
