package podfiles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opencontainers/selinux/go-selinux/label"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/runtime/mountpoint"
)

// shmSize is the size of a pod's /dev/shm in bytes, unless it asks for another.
const shmSize = 64 << 20

func hostIPC(pod *runtimeapi.PodSandboxConfig) bool {
	return options(pod).GetIpc() == runtimeapi.NamespaceMode_NODE
}

func options(pod *runtimeapi.PodSandboxConfig) *runtimeapi.NamespaceOption {
	return pod.GetLinux().GetSecurityContext().GetNamespaceOptions()
}

// createShm mounts the pod's tmpfs, or sees that the host has one.
func (s *Store) createShm(id string, pod *runtimeapi.PodSandboxConfig, r Request, made *undo.Stack) error {
	path := s.at(id).Shm
	if hostIPC(pod) {
		if _, err := os.Stat(s.machine.Shm); err != nil {
			return fmt.Errorf("use the host's IPC: %w", err)
		}
		// The link is a note for Paths; containers get what it leads to.
		if err := os.Symlink(s.machine.Shm, path); err != nil {
			return err
		}
		made.Add("shm", func(context.Context) error { return mountpoint.Remove(path) })
		return nil
	}
	// Everybody reaches the tmpfs by its own mode, once it is mounted.
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	made.Add("shm", func(context.Context) error { return mountpoint.Remove(path) })
	data := fmt.Sprintf("mode=1777,size=%d", cmp.Or(r.ShmSize, shmSize))
	if uid, gid, mapped := podRoot(pod); mapped {
		// Its root would otherwise be nobody there, and could not even
		// remove others' files as /dev/shm's owner can.
		data += fmt.Sprintf(",uid=%d,gid=%d", uid, gid)
	}
	data = label.FormatMountLabel(data, r.MountLabel)
	if err := unix.Mount("shm", path, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return fmt.Errorf("mount tmpfs on %s with %s: %w", path, data, err)
	}
	return nil
}

// podRoot is the host's ids of root in the pod's user namespace.
func podRoot(pod *runtimeapi.PodSandboxConfig) (uid, gid uint32, mapped bool) {
	user := options(pod).GetUsernsOptions()
	if user.GetMode() != runtimeapi.NamespaceMode_POD {
		return 0, 0, false
	}
	uid, hasUID := onHost(user.GetUids())
	gid, hasGID := onHost(user.GetGids())
	return uid, gid, hasUID && hasGID
}

func onHost(mappings []*runtimeapi.IDMapping) (uint32, bool) {
	for _, m := range mappings {
		if m.GetContainerId() == 0 && m.GetLength() > 0 {
			return m.GetHostId(), true
		}
	}
	return 0, false
}

// hasShm tells whether path is a link, or something is mounted on it; the
// directory itself may be on a tmpfs too.
func hasShm(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return true, nil
	}
	return mountpoint.Is(path)
}
