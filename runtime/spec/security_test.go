package spec_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

var (
	runtimeDefault = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	unconfined     = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
)

func local(ref string) *runtimeapi.SecurityProfile {
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: ref}
}

func TestPrivileged(t *testing.T) {
	t.Parallel()
	in := plain()
	security(&in).Privileged = true
	refused(t, in, wrong, "linux.security_context.privileged")
	privilege(&in)
	security(&in).Seccomp, security(&in).Apparmor = runtimeDefault, runtimeDefault
	in.SELinux = spec.SELinux{ProcessLabel: "p", MountLabel: "m"}
	in.Base = &specs.Spec{
		Mounts:  []specs.Mount{{Destination: "/sys", Type: "sysfs", Options: []string{"ro"}}},
		Process: &specs.Process{ApparmorProfile: "base"}, Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{}, MaskedPaths: []string{"/x"}},
	}
	s := build(t, in)
	if s.Linux.Seccomp != nil || s.Process.ApparmorProfile != "" || s.Process.SelinuxLabel != "" || s.Linux.MountLabel != "m" {
		t.Errorf("confined: %+v %+v", s.Process, s.Linux)
	}
	if s.Linux.MaskedPaths != nil || s.Linux.ReadonlyPaths != nil {
		t.Errorf("masked %v, read-only %v", s.Linux.MaskedPaths, s.Linux.ReadonlyPaths)
	}
	for _, destination := range []string{"/sys", "/sys/fs/cgroup"} {
		if m, _ := mountAt(t, s, destination); slices.Contains(m.Options, "ro") || !slices.Contains(m.Options, "rw") {
			t.Errorf("%s is %+v", destination, m)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	in := plain()
	host := in.Host
	for _, test := range []struct {
		masked, readonly         []string
		disable                  bool
		wantMasked, wantReadonly []string
	}{
		{masked: []string{"/a"}, readonly: []string{"/b"}, wantMasked: []string{"/a"}, wantReadonly: []string{"/b"}},
		{}, // an unmasked /proc
		{masked: []string{"/a"}, readonly: []string{"/b"}, disable: true, wantMasked: host.MaskedPaths, wantReadonly: host.ReadonlyPaths},
		{disable: true, wantMasked: host.MaskedPaths, wantReadonly: host.ReadonlyPaths},
	} {
		in := plain()
		in.Runtime.DisableProcMount = test.disable
		security(&in).MaskedPaths, security(&in).ReadonlyPaths = test.masked, test.readonly
		l := build(t, in).Linux
		if !slices.Equal(l.MaskedPaths, test.wantMasked) || !slices.Equal(l.ReadonlyPaths, test.wantReadonly) {
			t.Errorf("%+v: got %v and %v", test, l.MaskedPaths, l.ReadonlyPaths)
		}
	}
}

func TestNoNewPrivileges(t *testing.T) {
	t.Parallel()
	in := plain()
	for _, want := range []bool{false, true} {
		security(&in).NoNewPrivs = want
		if got := build(t, in).Process.NoNewPrivileges; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestAppArmor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		profile    *runtimeapi.SecurityProfile
		deprecated string
		off        bool // not in the kernel
		disabled   bool // not wanted
		privileged bool
		want       string
		kind       error
		say        string
	}{
		"none is the default":          {want: spec.DefaultAppArmor},
		"default":                      {profile: runtimeDefault, want: spec.DefaultAppArmor},
		"unconfined":                   {profile: unconfined},
		"loaded":                       {profile: local("k8s-custom"), want: "k8s-custom"},
		"loaded, with prefix":          {profile: local("localhost/k8s-custom"), want: "k8s-custom"},
		"not loaded":                   {profile: local("none"), kind: lacks, say: `apparmor "none" cannot be had`},
		"no name":                      {profile: local(""), kind: wrong, say: "apparmor.localhost_ref"},
		"reference in vain":            {profile: &runtimeapi.SecurityProfile{LocalhostRef: "x"}, kind: wrong, say: "does not go with"},
		"unknown type":                 {profile: &runtimeapi.SecurityProfile{ProfileType: 9}, kind: wrong, say: "apparmor.profile_type 9"},
		"deprecated":                   {deprecated: "localhost/k8s-custom", want: "k8s-custom"},
		"deprecated default":           {deprecated: "runtime/default", want: spec.DefaultAppArmor},
		"deprecated nonsense":          {deprecated: "nonsense", kind: wrong, say: `apparmor_profile "nonsense"`},
		"deprecated loses":             {profile: unconfined, deprecated: "runtime/default"},
		"no support, none wanted":      {off: true},
		"no support, unconfined":       {profile: unconfined, off: true},
		"no support, default":          {profile: runtimeDefault, off: true, kind: lacks, say: "AppArmor is off"},
		"no support, deprecated":       {deprecated: "runtime/default", off: true, kind: lacks, say: "AppArmor is off"},
		"disabled, none wanted":        {disabled: true},
		"disabled, loaded":             {profile: local("k8s-custom"), disabled: true, kind: lacks, say: "AppArmor is off"},
		"privileged has no default":    {privileged: true},
		"privileged, default":          {profile: runtimeDefault, privileged: true},
		"privileged keeps one by name": {profile: local("k8s-custom"), privileged: true, want: "k8s-custom"},
		"privileged, one not loaded":   {profile: local("none"), privileged: true, kind: lacks, say: "cannot be had"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			if test.privileged {
				privilege(&in)
			}
			in.Host.AppArmor, in.Runtime.DisableAppArmor = !test.off, test.disabled
			security(&in).Apparmor = test.profile
			//lint:ignore SA1019 old clients only know the deprecated fields
			security(&in).ApparmorProfile = test.deprecated //nolint:staticcheck // old clients send it
			if test.kind != nil {
				refused(t, in, test.kind, test.say)
				return
			}
			if got := build(t, in).Process.ApparmorProfile; got != test.want {
				t.Fatalf("got %q, want %q", got, test.want)
			}
		})
	}
}
