package namespaces_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/namespaces"
)

func TestRemoveConverges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(dir string, p namespaces.Paths) error
		alive  bool
	}{
		"complete":  {func(string, namespaces.Paths) error { return nil }, true},
		"reboot":    {func(_ string, p namespaces.Paths) error { return unmount(p.Net, p.IPC, p.UTS, p.User) }, false},
		"half made": {func(_ string, p namespaces.Paths) error { return unmount(p.IPC) }, false},
		"no files": {func(_ string, p namespaces.Paths) error {
			return errors.Join(unmount(p.IPC, p.UTS, p.User, p.Net), os.Remove(p.IPC), os.Remove(p.UTS), os.Remove(p.User), os.Remove(p.Net))
		}, false},
		"mounted twice": {func(_ string, p namespaces.Paths) error { return unix.Mount(p.Net, p.Net, "", unix.MS_BIND, "") }, true},
		"other mount":   {func(_ string, p namespaces.Paths) error { return unix.Mount("/dev/null", p.Net, "", unix.MS_BIND, "") }, false},
		"nothing": {func(dir string, p namespaces.Paths) error {
			return errors.Join(unmount(p.Net, p.IPC, p.UTS, p.User), os.RemoveAll(dir))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pins, dir := newPins(t)
			id, paths := create(t, pins, everything(ident.New(), true))
			if err := c.damage(filepath.Join(dir, id), paths); err != nil {
				t.Fatal(err)
			}
			if _, alive, err := pins.Paths(id); err != nil || alive != c.alive {
				t.Errorf("alive %t, %v; want %t", alive, err, c.alive)
			}
			if list, err := pins.List(); err != nil || (len(list) == 1) != (name != "nothing") {
				t.Errorf("List = %v, %v", list, err)
			}
			if name != "nothing" {
				_, err := pins.Create(t.Context(), everything(id, false))
				wantError(t, err, errdefs.ErrAlreadyExists, id)
			}
			for range 2 {
				if err := pins.Remove(t.Context(), id); err != nil {
					t.Error(err)
				}
				wantNothing(t, dir)
			}
			if found, alive, err := pins.Paths(id); err != nil || alive || found != (namespaces.Paths{}) {
				t.Errorf("after Remove: Paths = %v, %t, %v", found, alive, err)
			}
		})
	}
}

func unmount(paths ...string) error {
	var failed []error
	for _, path := range paths {
		failed = append(failed, unix.Unmount(path, 0))
	}
	return errors.Join(failed...)
}

func TestRemoveKeepsWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	id, _ := create(t, pins, everything(ident.New(), false))
	other := filepath.Join(dir, id, "hosts")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pins.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if list, err := pins.List(); err != nil || len(list) > 0 {
		t.Errorf("List = %v, %v", list, err)
	}
	// And a pod's directory that others made first is no obstacle.
	create(t, pins, everything(id, false))
	if err := errors.Join(os.Remove(other), pins.Remove(t.Context(), id)); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, dir)
}

// A mount namespace made while the pod lived has copies of the pins, which
// would keep the pod's namespaces for as long as it lives.
func TestRemoveReachesOtherMountNamespaces(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	id, _ := create(t, pins, everything(ident.New(), false))
	other := exec.CommandContext(t.Context(), "cat")
	other.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // private
	input, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = input.Close()
		if err := other.Wait(); err != nil {
			t.Error(err)
		}
	}()
	mounts := func() string {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(other.Process.Pid), "mountinfo"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if !strings.Contains(mounts(), filepath.Join(dir, id)) {
		t.Fatal("the other mount namespace has no copy")
	}
	if err := pins.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(mounts(), filepath.Join(dir, id)) {
		t.Error("the other mount namespace keeps its copy")
	}
}

// A restarted process finds what its predecessor made.
func TestRestart(t *testing.T) {
	t.Parallel()
	first, dir := newPins(t)
	id, paths := create(t, first, everything(ident.New(), true))
	second, err := namespaces.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if found, alive, err := second.Paths(id); err != nil || !alive || found != paths {
		t.Errorf("Paths = %v, %t, %v; want %v", found, alive, err, paths)
	}
	if err := second.Apply(t.Context(), namespaces.Request{ID: id, Net: true, Sysctls: map[string]string{"net.ipv4.ip_forward": "1"}}); err != nil {
		t.Error(err)
	}
	if got := sysctl(t, paths, "net/ipv4/ip_forward"); got != "1" {
		t.Errorf("after Apply: %q", got)
	}
	if err := second.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, dir)
}

func TestListSkipsStrangers(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "README", "ns"), 0o700), os.MkdirAll(filepath.Join(dir, ident.New()), 0o700),
		os.WriteFile(filepath.Join(dir, ident.New()), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	if list, err := pins.List(); err != nil || len(list) > 0 {
		t.Errorf("List = %v, %v", list, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := pins.List(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without directory: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}
