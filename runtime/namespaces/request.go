package namespaces

import (
	"fmt"
	"math"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
)

// maxHostname is the kernel's __NEW_UTS_LEN.
const maxHostname = 64

// kinds are the namespaces to make, the owner of the others first.
func (r *Request) kinds() []kind {
	wanted := map[int]bool{
		unix.CLONE_NEWUSER: r.user(), unix.CLONE_NEWNET: r.Net, unix.CLONE_NEWIPC: r.IPC, unix.CLONE_NEWUTS: r.UTS,
	}
	var of []kind
	for _, k := range kinds {
		if wanted[k.flag] {
			of = append(of, k)
		}
	}
	return of
}

func (r *Request) user() bool { return len(r.UIDs) > 0 }

// check refuses what cannot be before anything is made.
func (r *Request) check() error {
	if err := ident.Check("pod id", r.ID); err != nil {
		return err
	}
	if len(r.UIDs) == 0 != (len(r.GIDs) == 0) {
		return invalid("user namespace", fmt.Sprintf("uids %v, gids %v", r.UIDs, r.GIDs), "needs mappings of both")
	}
	for _, m := range append(r.UIDs[:len(r.UIDs):len(r.UIDs)], r.GIDs...) {
		if m.Size == 0 || uint64(m.HostID)+uint64(m.Size) > math.MaxUint32 || uint64(m.ContainerID)+uint64(m.Size) > math.MaxUint32 {
			return invalid("user namespace mapping", fmt.Sprint(m), "is empty or beyond the largest id")
		}
	}
	if len(r.kinds()) == 0 {
		return invalid("namespaces", "none", "leaves nothing to make")
	}
	if len(r.Hostname) > maxHostname {
		return invalid("hostname", r.Hostname, fmt.Sprintf("is longer than %d bytes", maxHostname))
	}
	return r.checkSysctls()
}

// onHost is the host's id of one of the pod, false if it has none.
func onHost(ranges []specs.LinuxIDMapping, id uint32) (uint32, bool) {
	for _, m := range ranges {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), true
		}
	}
	return 0, false
}

// invalid is ErrInvalidArgument about a field. Values come from clients, so
// a long one is cut.
func invalid(field, value, why string) error {
	return fmt.Errorf("%s %.200q %s: %w", field, value, why, errdefs.ErrInvalidArgument)
}
