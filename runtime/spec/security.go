package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// SELinux are the labels of a container; empty without SELinux.
type SELinux struct{ ProcessLabel, MountLabel string }

// DefaultAppArmor is the name of the profile that containers get when they
// ask for the runtime's default one.
const DefaultAppArmor = "trivet-default"

// localhost precedes names of profiles in the deprecated notation.
const localhost = "localhost/"

// checkPrivileged comes first: a pod says at its start whether any of its
// containers may be privileged.
func checkPrivileged(in *Input, _ *specs.Spec) error {
	if in.security().GetPrivileged() && !in.podSecurity().GetPrivileged() {
		return invalid("linux.security_context.privileged", true, "is not allowed: the pod is not privileged")
	}
	return nil
}

// setPaths masks what the request says, and nothing if it says nothing: the
// kubelet sends the defaults for pods that do not ask for an unmasked /proc.
func setPaths(in *Input, s *specs.Spec) error {
	sc := in.security()
	if err := checkHidden("masked_paths", sc.GetMaskedPaths()); err != nil {
		return err
	}
	if err := checkHidden("readonly_paths", sc.GetReadonlyPaths()); err != nil {
		return err
	}
	switch {
	case sc.GetPrivileged():
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
	case !in.Runtime.DisableProcMount:
		s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = slices.Clone(sc.GetMaskedPaths()), slices.Clone(sc.GetReadonlyPaths())
	}
	return nil
}

// checkHidden refuses paths at which nothing would be hidden.
func checkHidden(name string, paths []string) error {
	for i, p := range paths {
		field := fmt.Sprintf("linux.security_context.%s[%d]", name, i)
		switch {
		case !path.IsAbs(p):
			return invalid(field, p, "is not absolute")
		case strings.ContainsRune(p, 0):
			return invalid(field, p, "contains a zero byte")
		}
	}
	return nil
}

// setSecurity sets what Linux security modules and seccomp enforce.
func setSecurity(in *Input, s *specs.Spec) error {
	sc := in.security()
	s.Linux.MountLabel, s.Process.SelinuxLabel = in.SELinux.MountLabel, in.SELinux.ProcessLabel
	if sc.GetPrivileged() {
		s.Linux.Seccomp, s.Process.ApparmorProfile, s.Process.SelinuxLabel = nil, "", ""
	}
	if in.Runtime.HostNetworkNoSELinux && in.podSecurity().GetNamespaceOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE {
		s.Process.SelinuxLabel = ""
	}
	//lint:ignore SA1019 old clients only know the deprecated field
	appArmor := sc.GetApparmorProfile() //nolint:staticcheck // old clients only know the deprecated field
	request := in.seccompRequest()
	request.capabilities = s.Process.Capabilities.Bounding
	var profile *specs.LinuxSeccomp
	var err error
	if request.inArtifact() {
		profile, err = artifactSeccomp(request.annotation, in.SeccompProfile, s, &in.Host)
	} else {
		profile, err = request.load(&in.Host)
	}
	if err != nil {
		return err
	}
	if profile != nil {
		s.Linux.Seccomp = profile
	}
	if s.Linux.Seccomp != nil && in.SeccompSocket != "" {
		s.Linux.Seccomp = notifying(s.Linux.Seccomp, in.SeccompSocket)
	}
	return setAppArmor(in, s, sc.GetApparmor(), appArmor)
}

// setAppArmor applies the request's profile. None is the default one, except
// for privileged containers.
func setAppArmor(in *Input, s *specs.Spec, profile *runtimeapi.SecurityProfile, deprecated string) error {
	field := "linux.security_context.apparmor"
	if profile == nil && deprecated != "" {
		field += "_profile"
		var err error
		if profile, err = parseProfile(field, deprecated); err != nil {
			return err
		}
	}
	if err := checkProfile(field, profile); err != nil {
		return err
	}
	if in.Runtime.DisableAppArmor || !in.Host.AppArmor {
		if profile != nil && profile.GetProfileType() != runtimeapi.SecurityProfile_Unconfined {
			return unable(field, profile.GetProfileType(), "cannot be had: AppArmor is off")
		}
		return nil
	}
	var name string
	switch profile.GetProfileType() {
	case runtimeapi.SecurityProfile_Unconfined:
		return nil
	case runtimeapi.SecurityProfile_RuntimeDefault:
		if in.security().GetPrivileged() {
			return nil
		}
		name = DefaultAppArmor
	case runtimeapi.SecurityProfile_Localhost:
		name = strings.TrimPrefix(profile.GetLocalhostRef(), localhost)
		if name == "" {
			return invalid(field+".localhost_ref", name, "is empty")
		}
	default:
		return invalid(field+".profile_type", profile.GetProfileType(), "is unknown")
	}
	if err := in.Host.machine().LoadAppArmor(name); err != nil {
		return unable(field, name, "cannot be had: %v", err)
	}
	s.Process.ApparmorProfile = name
	return nil
}

// checkRef refuses a reference that would silently have no effect.
func checkRef(field string, profile *runtimeapi.SecurityProfile) error {
	if profile.GetLocalhostRef() != "" && profile.GetProfileType() != runtimeapi.SecurityProfile_Localhost {
		return invalid(field+".localhost_ref", profile.GetLocalhostRef(), "does not go with profile type %s", profile.GetProfileType())
	}
	return nil
}

// parseProfile reads the deprecated notation of a profile.
func parseProfile(field, text string) (*runtimeapi.SecurityProfile, error) {
	switch text {
	case "runtime/default", "docker/default":
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case "unconfined":
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	}
	ref, ok := strings.CutPrefix(text, localhost)
	if !ok {
		return nil, invalid(field, text, "is none of runtime/default, unconfined and localhost/NAME")
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: ref}, nil
}

// localPath is the path of a profile in a file.
func localPath(field string, profile *runtimeapi.SecurityProfile) (string, error) {
	file := strings.TrimPrefix(profile.GetLocalhostRef(), localhost)
	if !path.IsAbs(file) {
		return "", invalid(field+".localhost_ref", profile.GetLocalhostRef(), "is not an absolute path")
	}
	return file, nil
}
