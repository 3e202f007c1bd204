package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
)

// setCapabilities gives the same set as bounding, permitted and effective; if
// the user is not root the kernel clears the latter two at exec, as with
// other runtimes. A privileged container has all, whatever the request says.
func setCapabilities(in *Input, s *specs.Spec) error {
	request := in.security().GetCapabilities()
	set := s.Process.Capabilities
	if in.security().GetPrivileged() {
		set.Bounding = slices.Clone(in.Host.Capabilities)
		set.Permitted, set.Effective = slices.Clone(set.Bounding), slices.Clone(set.Bounding)
	} else if request != nil {
		for i, name := range request.GetAddCapabilities() {
			if !isAll(name) && !slices.Contains(cap.Known(), capability(name)) {
				return invalid(fmt.Sprintf("linux.security_context.capabilities.add_capabilities[%d]", i), name, "is unknown")
			}
		}
		for _, list := range []*[]string{&set.Bounding, &set.Permitted, &set.Effective} {
			*list = change(*list, request, in.Host.Capabilities)
		}
	}
	if in.Runtime.AddInheritableCaps {
		set.Inheritable = slices.Clone(set.Bounding)
	}
	set.Inheritable = slices.DeleteFunc(set.Inheritable, func(c string) bool { return !slices.Contains(set.Bounding, c) })
	return setAmbient(request.GetAddAmbientCapabilities(), set)
}

// change applies ALL first, so that single capabilities can then be added to
// nothing or taken from everything. A capability both added and dropped is
// dropped.
func change(list []string, request *runtimeapi.Capability, all []string) []string {
	add, drop := request.GetAddCapabilities(), request.GetDropCapabilities()
	if slices.ContainsFunc(add, isAll) {
		list = all
	}
	if slices.ContainsFunc(drop, isAll) {
		list = nil
	}
	list = slices.Clone(list)
	for _, c := range add {
		if name := capability(c); !isAll(c) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return slices.DeleteFunc(list, func(c string) bool {
		return slices.ContainsFunc(drop, func(d string) bool { return capability(d) == c })
	})
}

// setAmbient lets a user who is not root keep capabilities. The kernel wants
// them inheritable too; more than the container has, nobody gets.
func setAmbient(names []string, set *specs.LinuxCapabilities) error {
	for _, n := range names {
		name := capability(n)
		if !slices.Contains(set.Bounding, name) {
			return invalid("linux.security_context.capabilities.add_ambient_capabilities", n, "is not among the container's capabilities")
		}
		for _, list := range []*[]string{&set.Ambient, &set.Inheritable} {
			if !slices.Contains(*list, name) {
				*list = append(*list, name)
			}
		}
	}
	return nil
}

func isAll(name string) bool { return strings.EqualFold(name, "ALL") }

// capability is the kernel's name. The CRI leaves CAP_ out, but people write
// it, and would not notice a drop without effect.
func capability(name string) string { return config.CapabilityName(name) }
