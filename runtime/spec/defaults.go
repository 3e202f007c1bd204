package spec

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// setDefaults applies the operator's defaults. A base spec is the operator's
// too, and for fewer containers: what it says counts, per limit, and for
// capabilities if it has any.
func setDefaults(in *Input, s *specs.Spec) error {
	for _, u := range in.Runtime.Ulimits() {
		kind := "RLIMIT_" + strings.ToUpper(u.Name)
		if !slices.ContainsFunc(s.Process.Rlimits, func(r specs.POSIXRlimit) bool { return r.Type == kind }) {
			s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: kind, Soft: u.Soft, Hard: u.Hard})
		}
	}
	names := in.Runtime.Capabilities()
	if len(names) > 0 && (in.Base == nil || in.Base.Process == nil || in.Base.Process.Capabilities == nil) {
		set := s.Process.Capabilities
		set.Bounding, set.Permitted, set.Effective = names, slices.Clone(names), slices.Clone(names)
	}
	return nil
}
