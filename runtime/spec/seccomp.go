package spec

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// seccompRequest is what decides a container's seccomp profile.
type seccompRequest struct {
	profile      *runtimeapi.SecurityProfile
	path         string           // deprecated notation, counts without profile
	annotation   annotatedProfile // counts where the request asks for none, or for unconfined
	unset        string           // the operator's, in the deprecated notation, counts without any
	standard     string           // file of the profile that is the default, empty for the built-in one
	privileged   bool
	strict       string   // file of the profile of privileged containers, empty for none
	capabilities []string // allowed system calls depend on them
}

// seccompRequest is that of the container, but for its capabilities.
func (in *Input) seccompRequest() seccompRequest {
	sc := in.security()
	//lint:ignore SA1019 old clients only know the deprecated field
	path := sc.GetSeccompProfilePath() //nolint:staticcheck // old clients only know the deprecated field
	return seccompRequest{
		profile: sc.GetSeccomp(), path: path, unset: in.Runtime.UnsetSeccompProfile,
		annotation: in.seccompAnnotation(), standard: in.Handler.SeccompProfile,
		privileged: sc.GetPrivileged(), strict: in.Runtime.PrivilegedSeccompProfile,
	}
}

// load is the profile to set, nil for none.
func (r seccompRequest) load(host *Host) (*specs.LinuxSeccomp, error) {
	field, profile, err := r.choose()
	if err != nil || profile == nil {
		return nil, err
	}
	if profile.GetProfileType() == runtimeapi.SecurityProfile_Unconfined {
		return nil, checkRef(field, profile)
	}
	if err := checkSeccomp(field, profile); err != nil {
		return nil, err
	}
	if !host.Seccomp {
		return nil, unable(field, profile.GetProfileType(), "cannot be had: this kernel has no seccomp")
	}
	switch profile.GetProfileType() {
	case runtimeapi.SecurityProfile_RuntimeDefault:
		if r.standard != "" {
			return loadSeccomp(host, "seccomp_profile", r.standard)
		}
		return defaultSeccomp(r.capabilities), nil
	case runtimeapi.SecurityProfile_Localhost:
		file, err := localPath(field, profile)
		if err != nil {
			return nil, err
		}
		return loadSeccomp(host, field+".localhost_ref", file)
	}
	return nil, invalid(field+".profile_type", profile.GetProfileType(), "is unknown")
}

// choose is the profile that counts and the field that has it; nil for none.
func (r seccompRequest) choose() (field string, profile *runtimeapi.SecurityProfile, err error) {
	if r.privileged {
		if r.strict == "" {
			return "", nil, nil
		}
		profile = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: r.strict}
		return "runtime.privileged_seccomp_profile", profile, nil
	}
	field, profile = "linux.security_context.seccomp", r.profile
	if profile == nil && r.path != "" {
		field += "_profile_path"
		profile, err = parseProfile(field, r.path)
	}
	// Kubelets ask for unconfined where pods ask for nothing.
	if r.annotation.key != "" && err == nil && open(profile) {
		if err := checkRef(field, profile); err != nil {
			return field, nil, err
		}
		field = "annotation " + r.annotation.key
		profile, err = parseProfile(field, r.annotation.value)
	}
	if profile == nil && r.unset != "" && err == nil {
		field = "runtime.unset_seccomp_profile"
		profile, err = parseProfile(field, r.unset)
	}
	return field, profile, err
}

// open tells whether a request leaves the profile to an annotation.
func open(profile *runtimeapi.SecurityProfile) bool {
	return profile == nil || profile.GetProfileType() == runtimeapi.SecurityProfile_Unconfined
}

// loadSeccomp reads a profile of a file that field names.
func loadSeccomp(host *Host, field, file string) (*specs.LinuxSeccomp, error) {
	loaded, err := host.machine().SeccompProfile(file)
	if err != nil {
		return nil, unable(field, file, "cannot be loaded: %v", err)
	}
	return loaded, nil
}

// checkSeccomp refuses a profile that is wrong on any machine.
func checkSeccomp(field string, profile *runtimeapi.SecurityProfile) error {
	if err := checkProfile(field, profile); err != nil {
		return err
	}
	if profile.GetProfileType() != runtimeapi.SecurityProfile_Localhost {
		return nil
	}
	_, err := localPath(field, profile)
	return err
}

// maxSeccompProfiles bounds the cache: pods choose their capabilities freely.
const maxSeccompProfiles = 32

// seccompProfiles keeps default profiles by capability set: making one takes
// longer than the rest of a spec.
var seccompProfiles = struct {
	sync.RWMutex
	byCapabilities map[string]*specs.LinuxSeccomp
}{byCapabilities: make(map[string]*specs.LinuxSeccomp)}

// defaultSeccomp is the runtime's default profile for a capability set. The
// top of the result is the caller's, its parts are shared.
func defaultSeccomp(capabilities []string) *specs.LinuxSeccomp {
	key := strings.Join(slices.Sorted(slices.Values(capabilities)), ",")
	cache := &seccompProfiles
	cache.RLock()
	profile := cache.byCapabilities[key]
	cache.RUnlock()
	if profile == nil {
		profile = seccomp.DefaultProfile(&specs.Spec{Process: &specs.Process{
			Capabilities: &specs.LinuxCapabilities{Bounding: capabilities},
		}})
		profile.Syscalls = slices.Clip(profile.Syscalls)
		profile.Architectures = slices.Clip(profile.Architectures)
		cache.Lock()
		if len(cache.byCapabilities) >= maxSeccompProfiles {
			for old := range maps.Keys(cache.byCapabilities) {
				delete(cache.byCapabilities, old) // any one
				break
			}
		}
		cache.byCapabilities[key] = profile
		cache.Unlock()
	}
	own := *profile
	return &own
}
