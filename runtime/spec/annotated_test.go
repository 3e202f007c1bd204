package spec_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// asking is a request of a pod with one annotation, which is allowed.
func asking(key, value string) spec.Input {
	in := plain()
	in.Handler.AllowedAnnotations = []string{key}
	in.Pod.Annotations = map[string]string{key: value}
	return in
}

func TestUmask(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]uint32{"0": 0, "22": 0o22, "0027": 0o27, "7777": 0o7777} {
		if got := build(t, asking("umask.crio.io", value)).Process.User.Umask; got == nil || *got != want {
			t.Errorf("%q: %v, want %o", value, got, want)
		}
	}
	for _, value := range []string{"8", "00022", "-1", "0x2", " 2", "2_2"} {
		refused(t, asking("io.kubernetes.cri-o.umask", value), wrong, "io.kubernetes.cri-o.umask", value, "octal")
	}
	if got := build(t, asking("umask.crio.io", "")).Process.User.Umask; got != nil {
		t.Errorf("of nothing: %o", *got)
	}
	in := asking("umask.crio.io", "77")
	in.Handler.AllowedAnnotations = nil
	if got := build(t, in).Process.User.Umask; got != nil {
		t.Errorf("not allowed: %o", *got)
	}
	in.Runtime.Workloads = config.Workloads{"w": {ActivationAnnotation: "umask.crio.io", AllowedAnnotations: []string{"umask.crio.io"}}}
	if got := build(t, in).Process.User.Umask; got == nil {
		t.Error("what the workload allows has no effect")
	}
}

func TestUnifiedCgroup(t *testing.T) {
	t.Parallel()
	const key = "unified-cgroup.crio.io/server"
	for _, c := range []struct {
		value string
		want  map[string]string
	}{
		{"", nil},
		{";;", nil},
		{"memory.high=1000;pids.max=max;", map[string]string{"memory.high": "1000", "pids.max": "max", "memory.low": "1"}},
		{"memory.low=MjA5NzE1Mg==", map[string]string{"memory.low": "2097152"}},
		{"io.max=ODowIHJicHM9MQo4OjE2IHdicHM9Mgo=", map[string]string{"io.max": "8:0 rbps=1\n8:16 wbps=2\n", "memory.low": "1"}},
		{"io.weight=default=100", map[string]string{"io.weight": "default=100", "memory.low": "1"}},
		{"memory.high=", map[string]string{"memory.high": "", "memory.low": "1"}},
	} {
		in := asking(key, c.value)
		in.Host.CgroupV2 = true
		in.Config.Linux.Resources.Unified = map[string]string{"memory.low": "1"}
		if c.want == nil {
			c.want = in.Config.Linux.Resources.Unified
		}
		if got := build(t, in).Linux.Resources.Unified; !maps.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.value, got, c.want)
		}
	}
	in := asking("unified-cgroup.crio.io/other", "memory.high=1")
	if got := build(t, in).Linux.Resources.Unified; len(got) > 0 {
		t.Errorf("another's: %q", got)
	}
	for value, why := range map[string]string{
		"memory.high": "FILE=VALUE", "cgroup.procs=1": "is not a limit", "../memory.high=1": "controller's file", "=1": "controller's file",
	} {
		in := asking(key, value)
		in.Host.CgroupV2 = true
		refused(t, in, wrong, key, why)
	}
	refused(t, asking(key, "memory.high=1"), lacks, key, "memory.high", "cgroup version 1")
}

func TestCgroupWritableByAnnotation(t *testing.T) {
	t.Parallel()
	const key = "cgroup2-mount-hierarchy-rw.crio.io"
	for _, c := range []struct {
		value string
		v2    bool
		mode  string
	}{{"true", true, "rw"}, {"true", false, "ro"}, {"false", true, "ro"}, {"", true, "ro"}} {
		in := asking(key, c.value)
		in.Host.CgroupV2 = c.v2
		if m, _ := mountAt(t, build(t, in), "/sys/fs/cgroup"); !slices.Contains(m.Options, c.mode) {
			t.Errorf("%+v: %q", c, m.Options)
		}
	}
	refused(t, asking(key, "yes"), wrong, key, `"yes"`)
}

// TestAnnotationsOfRuntimes: those that OCI runtimes read are passed on where
// they are allowed, others are not.
func TestAnnotationsOfRuntimes(t *testing.T) {
	t.Parallel()
	const key = "module.wasm.image/variant"
	in := plain()
	in.Handler.AllowedAnnotations = []string{key, "run.oci.", "devices.crio.io"}
	in.Pod.Annotations = map[string]string{key: "compat", "run.oci.handler": "wasm", "devices.crio.io": "", "org.criu.config": "/x"}
	in.Config.Annotations = map[string]string{"run.oci.handler": "krun"}
	got := build(t, in).Annotations
	if got[key] != "compat" || got["run.oci.handler"] != "krun" {
		t.Errorf("got %q", got)
	}
	for _, other := range []string{"devices.crio.io", "org.criu.config"} {
		if value, ok := got[other]; ok {
			t.Errorf("%s is passed on, with %q", other, value)
		}
	}
}

func FuzzUnified(f *testing.F) {
	for _, seed := range []string{"memory.high=1;pids.max=bWF4", "=", ";", "a.b=AAAA", "a.b=/w==", "\x00.a=\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		in := asking("unified-cgroup.crio.io/server", value)
		in.Host.CgroupV2 = true
		s, err := spec.Build(in)
		if err != nil {
			return
		}
		for file := range s.Linux.Resources.Unified {
			if file == "" || file[0] == '.' || slices.Contains([]byte(file), '/') {
				t.Errorf("%q writes %q", value, file)
			}
		}
	})
}
