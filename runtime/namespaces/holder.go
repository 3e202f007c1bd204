package namespaces

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// holder is a process that holds a new user namespace, and the others that
// it owns, until they are pinned. It never runs: being traced, it stops on
// its way into the program. The thread that starts it must live until release.
type holder struct{ process *os.Process }

func (h *holder) start(r *Request) error {
	flags := 0
	for _, k := range r.kinds() {
		flags |= k.flag
	}
	process, err := os.StartProcess("/proc/self/exe", []string{"trivet-namespaces"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags:                 uintptr(flags),
		UidMappings:                sysMappings(r.UIDs),
		GidMappings:                sysMappings(r.GIDs),
		GidMappingsEnableSetgroups: true,
		Ptrace:                     true,
		Pdeathsig:                  syscall.SIGKILL,
	}})
	if err != nil {
		err = limit(err)
		if errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
		}
		return fmt.Errorf("make user namespace with uids %v and gids %v: %w", r.UIDs, r.GIDs, err)
	}
	h.process = process
	return nil
}

// path stays that of this process until release: nobody else waits for it.
func (h *holder) path(name string) string {
	return fmt.Sprintf("/proc/%d/ns/%s", h.process.Pid, name)
}

// enter puts the calling thread into the holder's namespaces, without the
// user namespace.
func (h *holder) enter(of []kind) error {
	for _, k := range of {
		if k.flag == unix.CLONE_NEWUSER {
			continue
		}
		if err := join(h.path(k.name), k); err != nil {
			return err
		}
	}
	return nil
}

func (h *holder) release() {
	if h.process == nil {
		return
	}
	// It is a child that has not been waited for, so both succeed.
	_ = h.process.Kill()
	_, _ = h.process.Wait()
}

// join puts the calling thread into the namespace at path.
func join(path string, k kind) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s namespace: %w", k.name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Setns(fd, k.flag); err != nil {
		return fmt.Errorf("enter %s namespace: %w", k.name, err)
	}
	return nil
}

func sysMappings(in []specs.LinuxIDMapping) []syscall.SysProcIDMap {
	out := make([]syscall.SysProcIDMap, 0, len(in))
	for _, m := range in {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return out
}
