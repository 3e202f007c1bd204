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
)

const (
	portStart = "net.ipv4.ip_unprivileged_port_start"
	pingRange = "net.ipv4.ping_group_range"

	// maxValue keeps a value within the one write that the kernel looks at.
	maxValue = 4096
)

// Sysctls that the kernel keeps for each IPC namespace, beside fs.mqueue.*.
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

func ofIPC(elements []string) bool {
	dotted := strings.Join(elements, ".")
	return strings.HasPrefix(dotted, "fs.mqueue.") || slices.Contains(ipcSysctls, dotted)
}

// checkSysctls refuses those that are not the pod's alone.
func (r *Request) checkSysctls() error {
	for _, key := range slices.Sorted(maps.Keys(r.Sysctls)) {
		value := r.Sysctls[key]
		elements := split(key)
		if slices.ContainsFunc(elements, func(e string) bool { return e == "" || e == "." || e == ".." }) || strings.ContainsRune(key, 0) {
			return invalid("sysctl", key, "is no name of one")
		}
		if value == "" || len(value) > maxValue || strings.ContainsRune(value, 0) {
			return invalid("sysctl "+strconv.Quote(key), value, "is empty, too long or has zero bytes")
		}
		switch {
		case elements[0] == "net":
			if !r.Net {
				return invalid("sysctl", key, "= "+strconv.Quote(value)+" would change the host: the pod has the host's network namespace")
			}
		case ofIPC(elements):
			if !r.IPC {
				return invalid("sysctl", key, "= "+strconv.Quote(value)+" would change the host: the pod has the host's IPC namespace")
			}
		case strings.Join(elements, ".") == "kernel.domainname":
			if !r.UTS {
				return invalid("sysctl", key, "= "+strconv.Quote(value)+" would change the host: the pod has the host's UTS namespace")
			}
		default:
			return invalid("sysctl", key, "= "+strconv.Quote(value)+" belongs to no namespace of a pod")
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
		asked[strings.Join(split(key), ".")] = true
	}
	if r.Net && r.UnprivilegedPorts && !asked[portStart] {
		all[portStart] = "0"
	}
	// The range is one of host's groups, and a user namespace has only some.
	if r.Net && r.UnprivilegedICMP && !asked[pingRange] && !r.user() && !userns.RunningInUserNS() {
		all[pingRange] = "0 2147483647"
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
		elements := split(key)
		set := func() error { return writeSysctl(elements, r.translate(elements, value)) }
		if root, mapped := onHost(r.UIDs, 0); mapped && ofIPC(elements) {
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
func (r *Request) translate(elements []string, value string) string {
	if !r.user() || strings.Join(elements, ".") != pingRange {
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

func writeSysctl(elements []string, value string) error {
	fd, err := unix.Open("/proc/sys/"+filepath.Join(elements...), unix.O_WRONLY|unix.O_CLOEXEC, 0)
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

// split gives the path elements of a key. As with sysctl(8), the first
// separator says which of dot and slash the others are; the other one then
// belongs to a name, as in net/ipv4/conf/eth0.1/forwarding.
func split(key string) []string {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '/' {
		return strings.Split(key, "/")
	}
	elements := strings.Split(key, ".")
	for i, e := range elements {
		elements[i] = strings.ReplaceAll(e, "/", ".")
	}
	return elements
}
