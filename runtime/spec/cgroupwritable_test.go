package spec_test

import (
	"slices"
	"testing"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// TestCgroupWritable: only a handler that says so, and only with version 2.
func TestCgroupWritable(t *testing.T) {
	t.Parallel()
	for _, try := range []struct{ writable, v2, want bool }{{true, true, true}, {true, false, false}, {false, true, false}} {
		in := plain()
		in.Handler.CgroupWritable, in.Host.CgroupV2 = try.writable, try.v2
		s, err := spec.Build(in)
		if err != nil {
			t.Fatal(err)
		}
		m, ok := mountAt(t, s, "/sys/fs/cgroup")
		if !ok || slices.Contains(m.Options, "rw") != try.want || slices.Contains(m.Options, "ro") == try.want {
			t.Errorf("%+v: options %q", try, m.Options)
		}
	}
}
