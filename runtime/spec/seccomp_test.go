package spec_test

import (
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestSeccomp(t *testing.T) {
	t.Parallel()
	const none, standard, deny = specs.LinuxSeccompAction(""), specs.ActErrno, specs.ActErrno
	for name, test := range map[string]struct {
		profile    *runtimeapi.SecurityProfile
		path       string
		unset      string
		want       specs.LinuxSeccompAction
		syscalls   bool // the default profile, which lists some
		privileged bool
	}{
		"none":                      {want: none},
		"default":                   {profile: runtimeDefault, want: standard, syscalls: true},
		"unconfined":                {profile: unconfined, unset: "runtime/default", want: none},
		"file":                      {profile: local("/profiles/deny.json"), want: deny},
		"file with prefix":          {profile: local("localhost//profiles/deny.json"), want: deny},
		"unset default":             {unset: "runtime/default", want: standard, syscalls: true},
		"unset unconfined":          {unset: "unconfined", want: none},
		"unset file":                {unset: "localhost//profiles/deny.json", want: deny},
		"deprecated":                {path: "docker/default", want: standard, syscalls: true},
		"deprecated file":           {path: "localhost//profiles/deny.json", unset: "unconfined", want: deny},
		"deprecated loses":          {profile: unconfined, path: "runtime/default", want: none},
		"privileged":                {profile: runtimeDefault, privileged: true, want: none},
		"privileged, even nonsense": {path: "nonsense", privileged: true, want: none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			if test.privileged {
				privilege(&in)
			}
			security(&in).Seccomp = test.profile
			//lint:ignore SA1019 old clients only know the deprecated fields
			security(&in).SeccompProfilePath = test.path //nolint:staticcheck // old clients send it
			in.Runtime.UnsetSeccompProfile = test.unset
			got := build(t, in).Linux.Seccomp
			if test.want == none {
				if got != nil {
					t.Fatalf("got a profile: %v", got.DefaultAction)
				}
				return
			}
			if got == nil || got.DefaultAction != test.want || (len(got.Syscalls) > 0) != test.syscalls {
				t.Fatalf("got %+v", got)
			}
		})
	}
}

// TestSeccompOfOperator: what is the default for a handler, and for privileged
// containers.
func TestSeccompOfOperator(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Handler.SeccompProfile, in.Runtime.PrivilegedSeccompProfile = "/profiles/log.json", "/profiles/deny.json"
	if s := build(t, in); s.Linux.Seccomp != nil {
		t.Errorf("none asked for: got %+v", s.Linux.Seccomp)
	}
	security(&in).Seccomp = runtimeDefault
	if got := build(t, in).Linux.Seccomp; got == nil || got.DefaultAction != specs.ActLog {
		t.Errorf("default: got %+v", got)
	}
	privilege(&in)
	if got := build(t, in).Linux.Seccomp; got == nil || got.DefaultAction != specs.ActErrno {
		t.Errorf("privileged: got %+v", got)
	}
	in.Runtime.PrivilegedSeccompProfile = "/profiles/none.json"
	refused(t, in, lacks, `runtime.privileged_seccomp_profile.localhost_ref "/profiles/none.json" cannot be loaded`)
	in = plain()
	in.Handler.SeccompProfile, security(&in).Seccomp = "/profiles/none.json", runtimeDefault
	refused(t, in, lacks, `seccomp_profile "/profiles/none.json" cannot be loaded`)
}

func TestSeccompAnnotation(t *testing.T) {
	t.Parallel()
	const base, old = "seccomp-profile.crio.io", "seccomp-profile.kubernetes.cri-o.io"
	const deny, log, trace = "localhost//profiles/deny.json", "localhost//profiles/log.json", "localhost//profiles/trace.json"
	type set = map[string]string
	for name, test := range map[string]struct {
		allowed    []string // base if nil
		pod, image set
		profile    *runtimeapi.SecurityProfile
		unset      string
		want       specs.LinuxSeccompAction
	}{
		"of the pod":                    {pod: set{base + "/POD": deny}, want: specs.ActErrno},
		"of the container":              {pod: set{base + "/POD": deny, base + "/server": log}, want: specs.ActLog},
		"of another container":          {pod: set{base + "/other": log}},
		"without a suffix":              {pod: set{base: log}},
		"old name":                      {pod: set{old + "/POD": deny}, want: specs.ActErrno},
		"pod before image":              {pod: set{base + "/POD": deny}, image: set{base: log}, want: specs.ActErrno},
		"of the image":                  {image: set{old: log}, want: specs.ActLog},
		"of the image, by container":    {image: set{base + "/server": log, base + "/POD": trace}, want: specs.ActLog},
		"of the image, for pods":        {image: set{base + "/POD": trace}, want: specs.ActTrace},
		"not allowed":                   {allowed: []string{"devices.crio.io"}, pod: set{base + "/POD": deny}, image: set{base: log}},
		"the request's wins":            {pod: set{base + "/POD": log}, profile: local("/profiles/deny.json"), want: specs.ActErrno},
		"the request's default wins":    {pod: set{base + "/POD": log}, profile: runtimeDefault, want: specs.ActErrno},
		"unconfined does not":           {pod: set{base + "/POD": log}, profile: unconfined, want: specs.ActLog},
		"before the operator's":         {pod: set{base + "/POD": log}, unset: deny, want: specs.ActLog},
		"unconfined for the operator's": {pod: set{base + "/POD": "unconfined"}, unset: deny},
		"default":                       {pod: set{base + "/POD": "runtime/default"}, want: specs.ActErrno},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Config.Metadata.Name = "server"
			if in.Handler.AllowedAnnotations = test.allowed; test.allowed == nil {
				in.Handler.AllowedAnnotations = []string{base}
			}
			in.Pod.Annotations, in.ImageAnnotations = test.pod, test.image
			security(&in).Seccomp, in.Runtime.UnsetSeccompProfile = test.profile, test.unset
			got := build(t, in).Linux.Seccomp
			if test.want == "" && got != nil || test.want != "" && (got == nil || got.DefaultAction != test.want) {
				t.Errorf("got %+v", got)
			}
			privilege(&in)
			if got := build(t, in).Linux.Seccomp; got != nil {
				t.Errorf("privileged: got %+v", got)
			}
		})
	}
	in := plain()
	in.Handler.AllowedAnnotations = []string{base}
	in.Pod.Annotations = set{base + "/POD": "localhost/relative.json"}
	refused(t, in, wrong, `annotation seccomp-profile.crio.io/POD.localhost_ref "relative.json" is not an absolute path`)
}

func TestSeccompRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		profile *runtimeapi.SecurityProfile
		path    string
		off     bool
		kind    error
		say     string
	}{
		"relative file":      {profile: local("deny.json"), kind: wrong, say: `seccomp.localhost_ref "deny.json"`},
		"no file":            {profile: local(""), kind: wrong, say: "seccomp.localhost_ref"},
		"missing file":       {profile: local("/profiles/none.json"), kind: lacks, say: `"/profiles/none.json" cannot be loaded`},
		"reference in vain":  {profile: &runtimeapi.SecurityProfile{LocalhostRef: "/x"}, kind: wrong, say: "does not go with profile type RuntimeDefault"},
		"unconfined in vain": {profile: &runtimeapi.SecurityProfile{ProfileType: 1, LocalhostRef: "/x"}, kind: wrong, say: "does not go with"},
		"unknown type":       {profile: &runtimeapi.SecurityProfile{ProfileType: 9}, kind: wrong, say: "seccomp.profile_type 9"},
		"deprecated":         {path: "/x", kind: wrong, say: `seccomp_profile_path "/x"`},
		"no support":         {profile: runtimeDefault, off: true, kind: lacks, say: "this kernel has no seccomp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Host.Seccomp = !test.off
			security(&in).Seccomp = test.profile
			//lint:ignore SA1019 old clients only know the deprecated fields
			security(&in).SeccompProfilePath = test.path //nolint:staticcheck // old clients send it
			refused(t, in, test.kind, test.say)
		})
	}
	in := plain()
	in.Host.Seccomp = false
	security(&in).Seccomp = unconfined
	build(t, in)
}

// TestSeccompFollowsCapabilities builds more capability sets than are cached,
// twice, and compares each profile with containerd's for that set.
func TestSeccompFollowsCapabilities(t *testing.T) {
	t.Parallel()
	names := []string{"SYS_ADMIN", "SYS_TIME", "SYS_PTRACE", "BPF", "SYS_MODULE", "SYSLOG"}
	for range 2 {
		for bits := range 1 << len(names) {
			in := plain()
			security(&in).Seccomp = runtimeDefault
			security(&in).Capabilities = &runtimeapi.Capability{}
			for i, name := range names {
				if bits&(1<<i) != 0 {
					security(&in).Capabilities.AddCapabilities = append(security(&in).Capabilities.AddCapabilities, name)
				}
			}
			s := build(t, in)
			want := seccomp.DefaultProfile(s)
			if len(s.Linux.Seccomp.Syscalls) != len(want.Syscalls) {
				t.Fatalf("%v: got %d rules, want %d", security(&in).Capabilities.AddCapabilities, len(s.Linux.Seccomp.Syscalls), len(want.Syscalls))
			}
		}
	}
}
