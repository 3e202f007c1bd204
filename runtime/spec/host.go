package spec

import (
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Host is what Build must know of the machine. Detect fills it once; a test
// fills it as it likes.
type Host struct {
	Hostname string // HOSTNAME in pods that set none

	CgroupV2 bool
	// CgroupOptions are options of the host's cgroup2 mount that a mount in
	// the same cgroup namespace would otherwise take away.
	CgroupOptions []string
	// HugepageSizes are the page sizes that the hugetlb controller limits, as
	// in "2MB"; empty without that controller.
	HugepageSizes []string
	Swap          bool // swap can be limited
	// CPUs and MemoryNodes are those that the machine can have, as in "0-3";
	// empty if that is not known.
	CPUs, MemoryNodes string

	Seccomp           bool
	AppArmor          bool
	RecursiveReadOnly bool // the kernel has mount_setattr(2)

	Capabilities []string // of this process: all that a container can get
	OOMScoreAdj  int      // of this process
	// OOMScoreFixed says that the kernel lets this process, and what it has
	// containers started by, raise an OOM score only.
	OOMScoreFixed bool

	// Localtime is the file for /etc/localtime in containers; empty for that
	// of the image.
	Localtime string

	// MaskedPaths and ReadonlyPaths are the defaults; requests bring their own
	// unless disable_proc_mount is set.
	MaskedPaths, ReadonlyPaths []string

	// Machine answers for the moment; nil for this machine.
	Machine Machine
}

// Machine answers what may change while the process runs. Its methods are
// called only for requests that need the answer.
type Machine interface {
	// Devices is the device node that path is or links to, or all the nodes
	// below it if it is a directory; of directories that are mounts of their
	// own (pts, shm, mqueue) none. Paths in the result begin with the path
	// after its links are resolved, which is resolved.
	Devices(path string) (nodes []specs.LinuxDevice, resolved string, err error)
	// MountOf tells on which mount path is.
	MountOf(path string) (MountPoint, error)
	// SeccompProfile reads a profile in the OCI's JSON format.
	SeccompProfile(path string) (*specs.LinuxSeccomp, error)
	// LoadAppArmor makes sure that the kernel has a profile: DefaultAppArmor
	// is loaded when missing, another missing one is ErrNotFound.
	LoadAppArmor(profile string) error
}

// MountPoint is where something is mounted and where mounts on it propagate.
type MountPoint struct {
	Point         string
	Shared, Slave bool
}

func (h *Host) machine() Machine {
	if h.Machine == nil {
		return thisMachine{}
	}
	return h.Machine
}
