package selinux

import (
	"fmt"
	"strings"

	"github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
)

// System is the library for this machine, which chooses from that many
// categories. There is one in a process. enabled is false if the kernel has no
// SELinux; then labels are empty.
func System(categories int) (library Library, enabled bool, err error) {
	if err := selinux.SetCategoryRange(uint32(categories)); err != nil {
		return nil, false, fmt.Errorf("runtime.selinux_category_range: %w", err)
	}
	return system{}, selinux.GetEnabled(), nil
}

type system struct{}

func (system) Init(options []string, vm bool) (process, mount string, err error) {
	process, mount, err = label.InitLabels(options)
	if err != nil || !vm || process == "" {
		return process, mount, err
	}
	kvm, err := selinux.SetProcessKind(process, selinux.ProcessKindKVM)
	if err != nil {
		selinux.ReleaseLabel(process)
		return "", "", fmt.Errorf("find type of virtual machines: %w", err)
	}
	return kvm, mount, nil
}

func (system) Reserve(label string) { _ = selinux.ReserveLabelV2(label) } // held already is fine

func (system) Release(label string) { selinux.ReleaseLabel(label) }

// VM tells whether a shim runs its containers in virtual machines.
func VM(runtimeType string) bool { return strings.Contains(runtimeType, "io.containerd.kata") }
