package namespaces

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/userns"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/sysctl"
)

const portStart = "net.ipv4.ip_unprivileged_port_start"

// checkSysctls refuses those that are not the pod's alone.
func (r *Request) checkSysctls() error {
	for _, key := range slices.Sorted(maps.Keys(r.Sysctls)) {
		value := r.Sysctls[key]
		if err := sysctl.Check(key, value); err != nil {
			return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
		for _, ns := range []struct {
			of   sysctl.Namespace
			own  bool
			name string
		}{{sysctl.Net, r.Net, "network"}, {sysctl.IPC, r.IPC, "IPC"}, {sysctl.UTS, r.UTS, "UTS"}} {
			if ns.of == sysctl.Of(key) && !ns.own {
				return invalid("sysctl", key, fmt.Sprintf("= %q would change the host: the pod has the host's %s namespace", value, ns.name))
			}
		}
		if sysctl.Of(key) == sysctl.None {
			return invalid("sysctl", key, fmt.Sprintf("= %q belongs to no namespace of a pod", value))
		}
	}
	return nil
}

// allSysctls are the requested ones and the defaults that they leave.
func (r *Request) allSysctls() map[string]string {
	all := maps.Clone(r.Sysctls)
	if all == nil {
		all = make(map[string]string)
	}
	asked := make(map[string]bool)
	for key := range r.Sysctls {
		asked[sysctl.Name(key)] = true
	}
	if r.Net && r.UnprivilegedPorts && !asked[portStart] {
		all[portStart] = "0"
	}
	// The range is one of host's groups, and a user namespace has only some.
	if r.Net && r.UnprivilegedICMP && !asked[sysctl.PingRange] && !r.user() && !userns.RunningInUserNS() {
		all[sysctl.PingRange] = "0 2147483647"
	}
	return all
}

// apply sets the sysctls from a thread that joins the pinned namespaces.
func (p *Pins) apply(r *Request) error {
	for _, k := range r.kinds() {
		if k.flag == unix.CLONE_NEWUSER {
			continue
		}
		if err := join(p.path(r.ID, k), k); err != nil {
			if errors.Is(err, unix.ENOENT) {
				err = fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
			}
			return err
		}
	}
	return setSysctls(r, r.Sysctls)
}

// setSysctls sets those of the calling thread's namespaces, in order of keys.
func setSysctls(r *Request, sysctls map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sysctls)) {
		value := sysctls[key]
		set := func() error { return writeSysctl(key, r.translate(key, value)) }
		if root, mapped := onHost(r.UIDs, 0); mapped && sysctl.Of(key) == sysctl.IPC {
			// These are for the root of the namespace's owner alone,
			// whatever the capabilities of others.
			inner := set
			set = func() error { return asUser(root, inner) }
		}
		if err := set(); err != nil {
			err = fmt.Errorf("sysctl %q = %.200q: %w", key, value, err)
			if isMistake(err) {
				err = fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
			}
			return err
		}
	}
	return nil
}

// translate makes ids of the pod ids of the host: this thread writes as one
// of the host. Only one sysctl has ids; what makes no sense stays, for the
// kernel to refuse.
func (r *Request) translate(key, value string) string {
	if !r.user() || sysctl.Name(key) != sysctl.PingRange {
		return value
	}
	fields := strings.Fields(value)
	for i, field := range fields {
		id, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return value
		}
		if host, mapped := onHost(r.GIDs, uint32(id)); mapped {
			fields[i] = strconv.FormatUint(uint64(host), 10)
		} else {
			fields[i] = "4294967295" // the id that no kernel takes
		}
	}
	return strings.Join(fields, " ")
}

func writeSysctl(key, value string) error {
	fd, err := unix.Open("/proc/sys/"+filepath.Join(sysctl.Split(key)...), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	n, err := unix.Write(fd, []byte(value))
	if err == nil && n < len(value) {
		err = fmt.Errorf("kernel took only %q: %w", value[:n], unix.EINVAL)
	}
	return err
}

// isMistake tells a wrong key or value from trouble of the machine.
func isMistake(err error) bool {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.EISDIR, unix.EINVAL, unix.ERANGE, unix.EACCES, unix.EPERM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
