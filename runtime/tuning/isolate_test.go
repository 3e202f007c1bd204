package tuning_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

const noBalance = "cpu-load-balancing.crio.io=disable"

func TestIsolateVersion1(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	const file = "sys/fs/cgroup/cpuset/kubepods/pod1/a/cpuset.sched_load_balance"
	m.set(t, file, "1")
	tuner := m.begin(t)
	ok(t, tuner.Isolate(t.Context(), container("a", "2-3")))
	m.has(t, map[string]string{file: "1"})
	ok(t, tuner.Isolate(t.Context(), container("a", "2-3", noBalance)))
	m.has(t, map[string]string{file: "0"})
	if err := tuner.Isolate(t.Context(), container("b", "2-3", noBalance)); err == nil || !strings.Contains(err.Error(), "isolate processors of container b") {
		t.Errorf("without a cgroup: %v", err)
	}
}

// version2 is a machine with the cgroups of pod1's containers a and b.
func version2(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	m.deps.CgroupV2 = true
	m.set(t, "sys/fs/cgroup/kubepods/cpuset.cpus.exclusive", "")
	m.set(t, podV2+"/cpuset.cpus.exclusive", "")
	for _, id := range []string{"a", "b"} {
		for file, text := range map[string]string{"cpuset.cpus.exclusive": "", "cpuset.cpus.partition": "member", "cgroup.subtree_control": ""} {
			m.set(t, podV2+"/"+id+"/"+file, text)
		}
	}
	return m
}

func TestIsolateVersion2(t *testing.T) {
	t.Parallel()
	m := version2(t)
	tuner, a, b := m.begin(t), container("a", "2-3", noBalance), container("b", "5", noBalance)
	ok(t, tuner.Begin(t.Context(), a))
	ok(t, tuner.Isolate(t.Context(), a))
	ok(t, tuner.Isolate(t.Context(), b))
	const top, pod = "sys/fs/cgroup/kubepods/cpuset.cpus.exclusive", podV2 + "/cpuset.cpus.exclusive"
	m.has(t, map[string]string{
		top: "2-3,5", pod: "2-3,5", podV2 + "/a/cpuset.cpus.exclusive": "2-3", podV2 + "/a/cpuset.cpus.partition": "isolated",
		podV2 + "/b/cpuset.cpus.exclusive": "5", podV2 + "/b/cpuset.cpus.partition": "isolated",
	})
	a.CPU.Set = "3-4" // an update
	ok(t, tuner.Begin(t.Context(), a))
	ok(t, tuner.Isolate(t.Context(), a))
	m.has(t, map[string]string{top: "3-5", pod: "3-5", podV2 + "/a/cpuset.cpus.exclusive": "3-4"})
	tuner = m.begin(t)                                          // killed
	ok(t, os.RemoveAll(filepath.Join(m.deps.Root, podV2, "a"))) // its cgroup has gone
	ok(t, tuner.End(t.Context(), "a"))
	m.has(t, map[string]string{top: "5", pod: "5", podV2 + "/b/cpuset.cpus.partition": "isolated"})
	ok(t, tuner.End(t.Context(), "b"))
	m.has(t, map[string]string{top: "", pod: "", podV2 + "/b/cpuset.cpus.partition": "member", podV2 + "/b/cpuset.cpus.exclusive": ""})
	if held := tuner.Held(); len(held) > 0 {
		t.Errorf("held are %q", held)
	}
}

func TestIsolateBesideShared(t *testing.T) {
	t.Parallel()
	m := version2(t)
	const child = podV2 + "/a/cgroup-child"
	for file, text := range map[string]string{"cpuset.cpus": "", "cpuset.cpus.exclusive": "", "cpuset.cpus.partition": "member"} {
		m.set(t, child+"/"+file, text) // as the kernel makes them
	}
	tuner, a := m.begin(t), container("a", "0,2-3", noBalance, "cpu-shared.crio.io/app=enable")
	ok(t, tuner.Begin(t.Context(), a))
	ok(t, tuner.Isolate(t.Context(), a))
	m.has(t, map[string]string{
		podV2 + "/cpu.max": "300000 100000", podV2 + "/a/cgroup.subtree_control": "+cpu +cpuset", podV2 + "/a/cpuset.cpus.exclusive": "2-3",
		podV2 + "/a/cpuset.cpus.partition": "member", child + "/cpuset.cpus": "2-3", child + "/cpuset.cpus.partition": "isolated",
	})
	ok(t, tuner.End(t.Context(), "a"))
	m.has(t, map[string]string{podV2 + "/cpu.max": "200000 100000", podV2 + "/a/cpuset.cpus.exclusive": "", child + "/cpuset.cpus.partition": "member"})
}

// TestIsolateFails: what was taken so far is given back.
func TestIsolateFails(t *testing.T) {
	t.Parallel()
	m := version2(t)
	ok(t, os.RemoveAll(filepath.Join(m.deps.Root, podV2, "a")))
	tuner, a := m.begin(t), container("a", "2-3", noBalance)
	if err := tuner.Isolate(t.Context(), a); err == nil {
		t.Error("no error")
	}
	m.has(t, map[string]string{podV2 + "/cpuset.cpus.exclusive": "2-3"})
	if held := tuner.Held(); !slices.Equal(held, []string{"a"}) {
		t.Errorf("held are %q", held)
	}
	ok(t, tuner.End(t.Context(), "a"))
	m.has(t, map[string]string{podV2 + "/cpuset.cpus.exclusive": ""})
	// The kernel takes the word and makes another of it.
	partition := filepath.Join(m.deps.Root, podV2, "b/cpuset.cpus.partition")
	ok(t, os.Remove(partition))
	ok(t, os.Symlink("/dev/null", partition))
	err := tuner.Isolate(t.Context(), container("b", "5", noBalance))
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), `cpuset.cpus.partition is ""`) {
		t.Errorf("got %v", err)
	}
}
