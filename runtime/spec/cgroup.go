package spec

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// cgroupPrefix makes the names of scopes: PREFIX-ID.scope below the slice.
const cgroupPrefix = "cri-trivet"

// Parents of containers whose pod names none.
const (
	defaultParent = "/trivet"
	defaultSlice  = "system.slice"
)

func setCgroup(in *Input, s *specs.Spec) error {
	cgroup, err := cgroupPath(in.Pod.GetLinux().GetCgroupParent(), in.ID, in.Systemd)
	s.Linux.CgroupsPath = cgroup
	return err
}

// cgroupPath is the OCI cgroupsPath of the container id below parent: a path,
// or with systemd SLICE:PREFIX:ID, where only the last slice is named.
func cgroupPath(parent, id string, systemd bool) (string, error) {
	if err := CheckCgroupParent(parent, systemd); err != nil {
		return "", err
	}
	switch {
	case systemd && parent == "":
		return defaultSlice + ":" + cgroupPrefix + ":" + id, nil
	case systemd:
		return path.Base(parent) + ":" + cgroupPrefix + ":" + id, nil
	case parent == "":
		return path.Join(defaultParent, id), nil
	}
	return path.Join(parent, id), nil
}

// CheckCgroupParent returns ErrInvalidArgument unless a pod's cgroup_parent
// fits the cgroup driver: a slice, with or without the slices above it, for
// systemd, an absolute path for cgroupfs. Empty is the default.
func CheckCgroupParent(parent string, systemd bool) error {
	const field = "linux.cgroup_parent"
	if parent == "" {
		return nil
	}
	if strings.ContainsFunc(parent, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid(field, parent, "has control characters")
	}
	elements := strings.Split(strings.Trim(parent, "/"), "/")
	for _, element := range elements {
		if element == ".." {
			return invalid(field, parent, "leads upwards")
		}
		if len(element) > 255 {
			return invalid(field, parent, "has an element longer than 255 bytes")
		}
	}
	if !systemd {
		if !path.IsAbs(parent) {
			return invalid(field, parent, "is not absolute, as the cgroupfs driver needs it")
		}
		return nil
	}
	for _, element := range elements {
		if !isSlice(element) {
			return invalid(field, parent, "is not a slice such as \"kubepods.slice\", as the systemd driver needs it")
		}
	}
	return nil
}

// isSlice tells whether name is one that systemd takes for a slice. A dash
// separates it from the slice above, so it is neither first, last nor double.
func isSlice(name string) bool {
	stem, ok := strings.CutSuffix(name, ".slice")
	if !ok || stem == "" {
		return false
	}
	if stem == "-" {
		return true // the root slice
	}
	if strings.HasPrefix(stem, "-") || strings.HasSuffix(stem, "-") || strings.Contains(stem, "--") {
		return false
	}
	return !strings.ContainsFunc(stem, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("-_.\\@", r)
	})
}
