package spec

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/annotation"
)

// SeccompArtifact is the OCI artifact in which an annotation has the
// container's seccomp profile, and the key of the annotation; empty for none.
// Its content belongs into SeccompProfile.
func (in *Input) SeccompArtifact() (key, ref string) {
	if r := in.seccompRequest(); r.inArtifact() {
		return r.annotation.key, r.annotation.value
	}
	return "", ""
}

// inArtifact tells whether the profile is that of an annotation which says
// neither what it is nor where on the node.
func (r seccompRequest) inArtifact() bool {
	if r.privileged || r.annotation.value == "" || strings.HasPrefix(r.annotation.value, localhost) {
		return false
	}
	asked := r.profile
	if asked == nil && r.path != "" {
		asked, _ = parseProfile("", r.path)
		if asked == nil {
			return false // it is wrong, which load tells
		}
	}
	_, unknown := parseProfile("", r.annotation.value)
	return unknown != nil && open(asked) && checkRef("", asked) == nil
}

// artifactSeccomp is a profile as Docker and Podman have it: its rules may
// depend on the machine and on the container's capabilities.
func artifactSeccomp(from annotatedProfile, text []byte, s *specs.Spec, host *Host) (*specs.LinuxSeccomp, error) {
	if !host.Seccomp {
		return nil, unable("annotation "+from.key, from.value, "cannot be had: this kernel has no seccomp")
	}
	// The library takes it for granted that no rule is null.
	var rules struct {
		Syscalls []*struct{} `json:"syscalls"`
	}
	err := json.Unmarshal(text, &rules)
	if slices.Contains(rules.Syscalls, nil) {
		return nil, annotation.Invalid(from.key, from.value, "has a seccomp profile with a rule that is null")
	}
	var profile *specs.LinuxSeccomp
	if err == nil {
		profile, err = seccomp.LoadProfile(string(text), s)
	}
	switch {
	case err != nil:
		return nil, annotation.Invalid(from.key, from.value, "has no seccomp profile: %v", err)
	case profile == nil || profile.DefaultAction == "":
		return nil, annotation.Invalid(from.key, from.value, "has a seccomp profile without a default action")
	case profile.ListenerPath != "":
		// The OCI runtime would hand over to any socket of the node.
		return nil, annotation.Invalid(from.key, from.value, "has a seccomp profile with the listener %q", profile.ListenerPath)
	}
	return profile, nil
}
