package spec

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// usernsField names the option in messages.
const usernsField = "linux.security_context.namespace_options.userns_options"

// mappings are the ranges of a user namespace; nil without one.
type mappings struct{ uids, gids []specs.LinuxIDMapping }

// setUserNamespace joins the pod's user namespace, if it has one. Pod and
// container must say the same, or files would have other owners than meant.
func setUserNamespace(in *Input, s *specs.Spec) error {
	options := in.security().GetNamespaceOptions().GetUsernsOptions()
	own, err := userMappings(options)
	if err != nil {
		return err
	}
	pod, err := userMappings(in.podSecurity().GetNamespaceOptions().GetUsernsOptions())
	if err != nil {
		return err
	}
	if !slices.Equal(own.uids, pod.uids) || !slices.Equal(own.gids, pod.gids) {
		return invalid(usernsField, options, "differs from the pod's")
	}
	if own.uids == nil {
		dropNamespace(s, specs.UserNamespace)
		return nil
	}
	if in.Namespaces.User == "" {
		return invalid(usernsField, options, "cannot be had: the pod has no user namespace to join")
	}
	if err := own.check(s.Process.User); err != nil {
		return err
	}
	putNamespace(s, specs.UserNamespace, in.Namespaces.User)
	s.Linux.UIDMappings, s.Linux.GIDMappings = own.uids, own.gids
	return nil
}

// userMappings reads the CRI's option. None, or NODE without mappings, means
// no user namespace.
func userMappings(o *runtimeapi.UserNamespace) (mappings, error) {
	if o == nil {
		return mappings{}, nil
	}
	switch o.GetMode() {
	case runtimeapi.NamespaceMode_NODE:
		if len(o.GetUids()) > 0 || len(o.GetGids()) > 0 {
			return mappings{}, invalid(usernsField+".mode", o.GetMode(), "does not go with mappings")
		}
		return mappings{}, nil
	case runtimeapi.NamespaceMode_POD:
		if err := checkRanges(usernsField+".uids", o.GetUids()); err != nil {
			return mappings{}, err
		}
		if err := checkRanges(usernsField+".gids", o.GetGids()); err != nil {
			return mappings{}, err
		}
		// The kubelet gives one range, from 0: snapshots are shifted by it.
		if len(o.GetUids()) != 1 || len(o.GetGids()) != 1 {
			return mappings{}, invalid(usernsField+".mode", o.GetMode(), "needs one uid and one gid mapping, not %d and %d",
				len(o.GetUids()), len(o.GetGids()))
		}
		return mappings{idMappings(o.GetUids()), idMappings(o.GetGids())}, nil
	}
	return mappings{}, invalid(usernsField+".mode", o.GetMode(), "is neither POD nor NODE")
}

// check refuses a user whom the namespace does not know: the runtime would
// fail at setuid, with a worse message.
func (m mappings) check(u specs.User) error {
	if !contains(m.uids, u.UID) {
		return invalid("linux.security_context.run_as_user", u.UID, "is outside of the user namespace's mapping")
	}
	for _, gid := range append([]uint32{u.GID}, u.AdditionalGids...) {
		if !contains(m.gids, gid) {
			return invalid("linux.security_context group", gid, "is outside of the user namespace's mapping")
		}
	}
	return nil
}

func contains(ranges []specs.LinuxIDMapping, id uint32) bool {
	return slices.ContainsFunc(ranges, func(r specs.LinuxIDMapping) bool {
		return id >= r.ContainerID && id-r.ContainerID < r.Size
	})
}

// idMappings translates the CRI's mappings; none is nil.
func idMappings(in []*runtimeapi.IDMapping) []specs.LinuxIDMapping {
	var out []specs.LinuxIDMapping
	for _, m := range in {
		out = append(out, specs.LinuxIDMapping{HostID: m.GetHostId(), ContainerID: m.GetContainerId(), Size: m.GetLength()})
	}
	return out
}
