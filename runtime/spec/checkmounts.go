package spec

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CheckMounts refuses mounts that are wrong by themselves, on any machine, so
// that nothing needs to be made for them. They are as the client sent them:
// Build wants the host paths of images filled in.
func CheckMounts(mounts []*runtimeapi.Mount, pod *runtimeapi.PodSandboxConfig) error {
	userns := pod.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	for i, m := range mounts {
		field := fmt.Sprintf("mounts[%d]", i)
		if err := checkMount(field, m, userns); err != nil {
			return err
		}
	}
	return nil
}

func checkMount(field string, m *runtimeapi.Mount, userns *runtimeapi.UserNamespace) error {
	if err := checkSource(field, m); err != nil {
		return err
	}
	if m.GetImage() == nil {
		if err := checkPaths(field, m); err != nil {
			return err
		}
	} else if err := checkTarget(field, m); err != nil {
		return err
	}
	if _, known := runtimeapi.MountPropagation_name[int32(m.GetPropagation())]; !known {
		return invalid(field+".propagation", m.GetPropagation(), "is unknown")
	}
	if err := checkAccess(field, m); err != nil {
		return err
	}
	if _, err := mountOptions(field, m.GetMountOptions()); err != nil {
		return err
	}
	return checkMappings(field, m, userns)
}

// checkSource: a mount is of an image or of a path.
func checkSource(field string, m *runtimeapi.Mount) error {
	switch sub := m.GetImageSubPath(); {
	case m.GetImage() == nil && sub != "":
		return invalid(field+".image_sub_path", sub, "needs an image")
	case m.GetImage() == nil:
		return nil
	case m.GetImage().GetImage() == "":
		return invalid(field+".image.image", "", "is empty")
	case m.GetHostPath() != "":
		return invalid(field+".host_path", m.GetHostPath(), "does not go with an image")
	case strings.ContainsRune(sub, 0):
		return invalid(field+".image_sub_path", sub, "contains a zero byte")
	}
	return nil
}

func checkPaths(field string, m *runtimeapi.Mount) error {
	if err := checkTarget(field, m); err != nil {
		return err
	}
	switch source := m.GetHostPath(); {
	case !path.IsAbs(source):
		return invalid(field+".host_path", source, "is not absolute")
	case strings.ContainsRune(source, 0):
		return invalid(field+".host_path", source, "contains a zero byte")
	}
	return nil
}

func checkTarget(field string, m *runtimeapi.Mount) error {
	field += ".container_path"
	switch target := m.GetContainerPath(); {
	case !path.IsAbs(target):
		return invalid(field, target, "is not absolute")
	case path.Clean(target) == "/":
		return invalid(field, target, "would hide the container's own root")
	case strings.ContainsRune(target, 0):
		return invalid(field, target, "contains a zero byte")
	}
	return nil
}

// readonly: images are so always.
func readonly(m *runtimeapi.Mount) bool {
	return m.GetReadonly() || m.GetImage().GetImage() != ""
}

func checkAccess(field string, m *runtimeapi.Mount) error {
	if !m.GetRecursiveReadOnly() {
		return nil
	}
	field += ".recursive_read_only"
	if !readonly(m) {
		return invalid(field, true, "does not go with a writable mount")
	}
	if m.GetPropagation() != runtimeapi.MountPropagation_PROPAGATION_PRIVATE {
		return invalid(field, true, "does not go with propagation %s", m.GetPropagation())
	}
	return nil
}

// checkMappings: a mount in a pod with a user namespace has the mappings of
// that, or none. Without one it may have any that the kernel can take.
func checkMappings(field string, m *runtimeapi.Mount, userns *runtimeapi.UserNamespace) error {
	uids, gids := m.GetUidMappings(), m.GetGidMappings()
	if len(uids) == 0 != (len(gids) == 0) {
		return invalid(field+".uidMappings", uids, "and gidMappings must be given together")
	}
	if len(uids) == 0 {
		return nil
	}
	if err := checkRanges(field+".uidMappings", uids); err != nil {
		return err
	}
	if err := checkRanges(field+".gidMappings", gids); err != nil {
		return err
	}
	if userns == nil || userns.GetMode() != runtimeapi.NamespaceMode_POD {
		return nil
	}
	if !slices.Equal(idMappings(uids), idMappings(userns.GetUids())) {
		return invalid(field+".uidMappings", uids, "differs from the pod's %v", userns.GetUids())
	}
	if !slices.Equal(idMappings(gids), idMappings(userns.GetGids())) {
		return invalid(field+".gidMappings", gids, "differs from the pod's %v", userns.GetGids())
	}
	return nil
}

// maxMappings is how many the kernel takes.
const maxMappings = 340

// checkRanges refuses what the kernel would with nothing but "invalid
// argument". The highest id means "none", so no range reaches it.
func checkRanges(field string, ranges []*runtimeapi.IDMapping) error {
	if len(ranges) > maxMappings {
		return invalid(field, len(ranges), "are more than %d", maxMappings)
	}
	for i, r := range ranges {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case r.GetLength() == 0:
			return invalid(at+".length", r.GetLength(), "maps nothing")
		case uint64(r.GetHostId())+uint64(r.GetLength()) > math.MaxUint32:
			return invalid(at+".host_id", r.GetHostId(), "with length %d goes beyond the highest id", r.GetLength())
		case uint64(r.GetContainerId())+uint64(r.GetLength()) > math.MaxUint32:
			return invalid(at+".container_id", r.GetContainerId(), "with length %d goes beyond the highest id", r.GetLength())
		}
		for k, other := range ranges[:i] {
			if overlap(r.GetHostId(), r.GetLength(), other.GetHostId(), other.GetLength()) {
				return invalid(at+".host_id", r.GetHostId(), "with length %d overlaps %s[%d]", r.GetLength(), field, k)
			}
			if overlap(r.GetContainerId(), r.GetLength(), other.GetContainerId(), other.GetLength()) {
				return invalid(at+".container_id", r.GetContainerId(), "with length %d overlaps %s[%d]", r.GetLength(), field, k)
			}
		}
	}
	return nil
}

func overlap(a, lenA, b, lenB uint32) bool {
	return uint64(a) < uint64(b)+uint64(lenB) && uint64(b) < uint64(a)+uint64(lenA)
}
