package spec_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

const (
	profileKey = "seccomp-profile.crio.io/server"
	profileRef = "registry.test/profiles/server:1"
)

func TestSeccompArtifactIsAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value string
		edit  func(*spec.Input)
		want  bool
	}{
		"an artifact": {profileRef, func(*spec.Input) {}, true},
		"asked to be unconfined": {profileRef, func(in *spec.Input) {
			security(in).Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
		}, true},
		"with a profile": {profileRef, func(in *spec.Input) { security(in).Seccomp = &runtimeapi.SecurityProfile{} }, false},
		"privileged":     {profileRef, func(in *spec.Input) { privilege(in) }, false},
		"not allowed":    {profileRef, func(in *spec.Input) { in.Handler.AllowedAnnotations = nil }, false},
		"of the node":    {"localhost/profiles/log.json", func(*spec.Input) {}, false},
		"the default":    {"runtime/default", func(*spec.Input) {}, false},
		"none":           {"unconfined", func(*spec.Input) {}, false},
		"empty":          {"", func(*spec.Input) {}, false},
	} {
		in := asking(profileKey, c.value)
		c.edit(&in)
		key, ref := in.SeccompArtifact()
		if got := ref == profileRef && key == profileKey; got != c.want || !got && ref+key != "" {
			t.Errorf("%s: %q of %q", name, ref, key)
		}
	}
	in := plain()
	in.Handler.AllowedAnnotations = []string{"seccomp-profile.crio.io"}
	in.ImageAnnotations = map[string]string{"seccomp-profile.kubernetes.cri-o.io": profileRef}
	if key, ref := in.SeccompArtifact(); key != "seccomp-profile.kubernetes.cri-o.io" || ref != profileRef {
		t.Errorf("of the image: %q of %q", ref, key)
	}
}

func TestSeccompArtifact(t *testing.T) {
	t.Parallel()
	in := asking(profileKey, profileRef)
	in.SeccompProfile = []byte(`{
		"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
		"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_AARCH64"}],
		"syscalls": [
			{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
			{"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
			{"names": ["chown"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_CHOWN"]}},
			{"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
			{"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}}
		]}`)
	got := build(t, in).Linux.Seccomp
	if got == nil || got.DefaultAction != specs.ActErrno || got.DefaultErrnoRet == nil || *got.DefaultErrnoRet != 38 || len(got.Architectures) == 0 {
		t.Fatalf("got %+v", got)
	}
	var names []string
	for _, rule := range got.Syscalls {
		names = append(names, rule.Names...)
	}
	if !slices.Equal(names, []string{"read", "write", "chown"}) {
		t.Errorf("rules are about %q", names)
	}
	for text, why := range map[string]string{
		"": "no seccomp profile", "{}": "default action", `[]`: "no seccomp profile", `{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}`: "default action",
		`{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/containerd/containerd.sock"}`: "listener",
	} {
		in.SeccompProfile = []byte(text)
		refused(t, in, wrong, profileKey, profileRef, why)
	}
	in.SeccompProfile = []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [null]}`)
	refused(t, in, wrong, profileKey, "null")
	in.Host.Seccomp = false
	refused(t, in, lacks, profileKey, "no seccomp")
}

// FuzzSeccompArtifact: no artifact ends the process, or has a listener.
func FuzzSeccompArtifact(f *testing.F) {
	for _, seed := range []string{
		`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_CHOWN"],"minKernel":"4.8"}}]}`,
		`{"defaultAction":"SCMP_ACT_LOG","archMap":[{"architecture":"SCMP_ARCH_X86_64"}],"syscalls":[null]}`, `{"syscalls":[{"includes":null}],"SYSCALLS":[null]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := asking(profileKey, profileRef)
		in.SeccompProfile = text
		if s, err := spec.Build(in); err == nil && (s.Linux.Seccomp == nil || s.Linux.Seccomp.ListenerPath != "") {
			t.Errorf("%q is taken: %+v", text, s.Linux.Seccomp)
		}
	})
}
