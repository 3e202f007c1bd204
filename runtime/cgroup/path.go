// Package cgroup tells where cgroups are: what an OCI spec and a pod's
// configuration name, as directories below the mount of a hierarchy. It looks
// at nothing, so a path that it returns may not exist.
package cgroup

import (
	"path"
	"strings"
)

// Mount is where cgroups are mounted; on version 1 with a directory for each
// controller.
const Mount = "/sys/fs/cgroup"

// Path is the cgroup that cgroupsPath of an OCI spec names: a path as it is,
// SLICE:PREFIX:NAME as the scope that systemd makes of it. It is empty if
// cgroupsPath is.
func Path(cgroupsPath string) string {
	slice, scope, ok := strings.Cut(cgroupsPath, ":")
	if !ok {
		return cgroupsPath
	}
	return path.Join(expand(slice), strings.Replace(scope, ":", "-", 1)+".scope")
}

// Parent is the cgroup that a pod's cgroup_parent names. It is empty if none
// is named, or the root, which is not the pod's alone.
func Parent(parent string, systemd bool) string {
	if parent == "" {
		return ""
	}
	if systemd {
		return expand(path.Base(parent))
	}
	if parent = path.Clean(parent); parent == "/" {
		return ""
	}
	return parent
}

// expand is the path of a slice: a-b.slice is in a.slice.
func expand(slice string) string {
	stem := strings.TrimSuffix(slice, ".slice")
	if stem == "-" {
		return "" // the root slice
	}
	whole, prefix := "", ""
	for part := range strings.SplitSeq(stem, "-") {
		prefix += part
		whole = path.Join(whole, prefix+".slice")
		prefix += "-"
	}
	return whole
}
