package podfiles_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/podfiles"
)

// machine is a host of which every file is the test's.
func machine(t *testing.T) podfiles.Machine {
	t.Helper()
	dir := t.TempDir()
	m := podfiles.Machine{
		Hosts: filepath.Join(dir, "hosts"), ResolvConf: filepath.Join(dir, "resolv.conf"), Shm: filepath.Join(dir, "shm"),
		Hostname: func() (string, error) { return "node-1", nil },
	}
	for path, text := range map[string]string{m.Hosts: "127.0.0.1 localhost\n", m.ResolvConf: "nameserver 192.0.2.53\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(m.Shm, 0o777); err != nil {
		t.Fatal(err)
	}
	return m
}

func newStore(t *testing.T, m podfiles.Machine) (store *podfiles.Store, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root, to mount")
	}
	dir = filepath.Join(t.TempDir(), "pods")
	store, err := podfiles.NewOn(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			if err := store.Remove(context.Background(), e.Name()); err != nil {
				t.Error(err)
			}
		}
		wantNothing(t, dir)
	})
	return store, dir
}

func wantNothing(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 || len(mounts) > 0 {
		t.Errorf("left are files %v and %d mounts", entries, len(mounts))
	}
}

func wantText(t *testing.T, path, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Errorf("%s says %q, want %q", filepath.Base(path), text, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o644 {
		t.Errorf("%s has mode %v", filepath.Base(path), info.Mode())
	}
}

func withOptions(o *runtimeapi.NamespaceOption) *runtimeapi.PodSandboxConfig {
	return &runtimeapi.PodSandboxConfig{Linux: &runtimeapi.LinuxPodSandboxConfig{
		SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: o},
	}}
}

func TestCreateTexts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pod              *runtimeapi.PodSandboxConfig
		hostname, resolv string
	}{
		"the machine's": {&runtimeapi.PodSandboxConfig{}, "node-1\n", "nameserver 192.0.2.53\n"},
		"the pod's": {
			&runtimeapi.PodSandboxConfig{Hostname: "web-0", DnsConfig: &runtimeapi.DNSConfig{
				Servers: []string{"192.0.2.1", "2001:db8::1%eth0"}, Searches: []string{"a.svc", "svc"}, Options: []string{"ndots:5", "edns0"},
			}},
			"web-0\n", "search a.svc svc\nnameserver 192.0.2.1\nnameserver 2001:db8::1%eth0\noptions ndots:5 edns0\n",
		},
		"empty DNS": {&runtimeapi.PodSandboxConfig{Hostname: "web-0", DnsConfig: &runtimeapi.DNSConfig{}}, "web-0\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, dir := newStore(t, machine(t))
			id := ident.New()
			files, err := store.Create(t.Context(), id, c.pod, podfiles.Request{})
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, files.Hostname, c.hostname)
			wantText(t, files.Hosts, "127.0.0.1 localhost\n")
			wantText(t, files.ResolvConf, c.resolv)
			if got := store.Paths(id); got != files {
				t.Errorf("Paths = %v, want %v", got, files)
			}
			if exists, err := store.Exists(id); err != nil || !exists {
				t.Errorf("Exists = %t, %v", exists, err)
			}
			for range 2 {
				if err := store.Remove(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
			wantNothing(t, dir)
			if exists, err := store.Exists(id); err != nil || exists {
				t.Errorf("after Remove: Exists = %t, %v", exists, err)
			}
		})
	}
}

func TestShm(t *testing.T) {
	t.Parallel()
	mapping := []*runtimeapi.IDMapping{{HostId: 200000, ContainerId: 0, Length: 65536}}
	pod := func(u *runtimeapi.UserNamespace) *runtimeapi.PodSandboxConfig {
		return withOptions(&runtimeapi.NamespaceOption{UsernsOptions: u})
	}
	for name, c := range map[string]struct {
		pod   *runtimeapi.PodSandboxConfig
		owner uint32
	}{
		"plain":               {pod(nil), 0},
		"user namespace":      {pod(&runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: mapping, Gids: mapping}), 200000},
		"host user namespace": {pod(&runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_NODE}), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, _ := newStore(t, machine(t))
			files, err := store.Create(t.Context(), ident.New(), c.pod, podfiles.Request{})
			if err != nil {
				t.Fatal(err)
			}
			var stat unix.Statfs_t
			if err := unix.Statfs(files.Shm, &stat); err != nil {
				t.Fatal(err)
			}
			if stat.Type != unix.TMPFS_MAGIC || int64(stat.Blocks)*stat.Bsize != 64<<20 {
				t.Errorf("type %x, %d blocks of %d", stat.Type, stat.Blocks, stat.Bsize)
			}
			const flags = unix.ST_NOEXEC | unix.ST_NOSUID | unix.ST_NODEV
			if stat.Flags&flags != flags {
				t.Errorf("flags %x", stat.Flags)
			}
			info, err := os.Stat(files.Shm)
			if err != nil {
				t.Fatal(err)
			}
			owner := info.Sys().(*syscall.Stat_t)
			if info.Mode() != os.ModeDir|os.ModeSticky|0o777 || owner.Uid != c.owner || owner.Gid != c.owner {
				t.Errorf("mode %v, owner %d:%d", info.Mode(), owner.Uid, owner.Gid)
			}
		})
	}
}

func TestHostIPC(t *testing.T) {
	t.Parallel()
	m := machine(t)
	store, dir := newStore(t, m)
	id, pod := ident.New(), withOptions(&runtimeapi.NamespaceOption{Ipc: runtimeapi.NamespaceMode_NODE})
	files, err := store.Create(t.Context(), id, pod, podfiles.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if files.Shm != m.Shm || store.Paths(id).Shm != m.Shm {
		t.Errorf("shm is %q, want the machine's %q", files.Shm, m.Shm)
	}
	if exists, err := store.Exists(id); err != nil || !exists {
		t.Errorf("Exists = %t, %v", exists, err)
	}
	kept := filepath.Join(m.Shm, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, dir)
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("Remove reached into the machine's shm: %v", err)
	}
}

// countdown ends at its n-th look, so that each step is the one that fails.
type countdown struct {
	context.Context
	left *int
}

func (c countdown) Err() error {
	if *c.left--; *c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCreateLeavesNothing(t *testing.T) {
	t.Parallel()
	fails := func(t *testing.T, m podfiles.Machine, pod *runtimeapi.PodSandboxConfig, label string, kind error, says string) {
		t.Helper()
		store, dir := newStore(t, m)
		_, err := store.Create(t.Context(), ident.New(), pod, podfiles.Request{MountLabel: label})
		if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %v and %q", err, kind, says)
		}
		wantNothing(t, dir)
	}
	dns := func(d *runtimeapi.DNSConfig) *runtimeapi.PodSandboxConfig {
		return &runtimeapi.PodSandboxConfig{DnsConfig: d}
	}
	for _, bad := range []string{"", "a b", "192.0.2.1\nnameserver 192.0.2.66", "a\tb", "a\x00", "a\r", "a\u2028b", "a\xff"} {
		for field, d := range map[string]*runtimeapi.DNSConfig{
			"servers": {Servers: []string{"192.0.2.1", bad}}, "searches": {Searches: []string{"a", bad}}, "options": {Options: []string{"a", bad}},
		} {
			t.Run(fmt.Sprintf("%s %q", field, bad), func(t *testing.T) {
				t.Parallel()
				fails(t, machine(t), dns(d), "", errdefs.ErrInvalidArgument, fmt.Sprintf("dns_config.%s[1] %q", field, bad))
			})
		}
	}
	t.Run("hostname", func(t *testing.T) {
		t.Parallel()
		fails(t, machine(t), &runtimeapi.PodSandboxConfig{Hostname: "a\nb"}, "", errdefs.ErrInvalidArgument, `hostname "a\nb"`)
	})
	t.Run("no hostname", func(t *testing.T) {
		t.Parallel()
		m := machine(t)
		m.Hostname = func() (string, error) { return "", os.ErrPermission }
		fails(t, m, &runtimeapi.PodSandboxConfig{}, "", os.ErrPermission, "hostname")
	})
	t.Run("unreadable hosts", func(t *testing.T) {
		t.Parallel()
		m := machine(t)
		m.Hosts = m.Shm
		fails(t, m, &runtimeapi.PodSandboxConfig{}, "", unix.EISDIR, m.Shm)
	})
	t.Run("unreadable resolv.conf", func(t *testing.T) {
		t.Parallel()
		m := machine(t)
		m.ResolvConf = m.Shm
		fails(t, m, &runtimeapi.PodSandboxConfig{}, "", unix.EISDIR, m.Shm)
	})
	t.Run("huge hosts", func(t *testing.T) {
		t.Parallel()
		m := machine(t)
		if err := os.Truncate(m.Hosts, 11<<20); err != nil {
			t.Fatal(err)
		}
		fails(t, m, &runtimeapi.PodSandboxConfig{}, "", nil, m.Hosts)
	})
	t.Run("no host shm", func(t *testing.T) {
		t.Parallel()
		m := machine(t)
		m.Shm += "-none"
		fails(t, m, withOptions(&runtimeapi.NamespaceOption{Ipc: runtimeapi.NamespaceMode_NODE}), "", os.ErrNotExist, m.Shm)
	})
	t.Run("label without SELinux", func(t *testing.T) {
		t.Parallel()
		fails(t, machine(t), &runtimeapi.PodSandboxConfig{}, "system_u:object_r:container_file_t:s0:c1,c2", nil, "")
	})
	t.Run("bad id", func(t *testing.T) {
		t.Parallel()
		store, dir := newStore(t, machine(t))
		_, err := store.Create(t.Context(), "../x", &runtimeapi.PodSandboxConfig{}, podfiles.Request{})
		_, existsErr := store.Exists("../x")
		for _, err := range []error{err, existsErr, store.Remove(t.Context(), "../x")} {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("error %v", err)
			}
		}
		wantNothing(t, dir)
	})
}

func TestCreateStopsAtEachStep(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t, machine(t))
	steps := 0
	for {
		left := steps
		id := ident.New()
		_, err := store.Create(countdown{t.Context(), &left}, id, &runtimeapi.PodSandboxConfig{}, podfiles.Request{})
		if err == nil {
			if err := store.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			break
		}
		wantNothing(t, dir)
		steps++
	}
	if steps != 4 {
		t.Errorf("stopped at %d steps, want 4", steps)
	}
}

func TestCreateTwice(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t, machine(t))
	id := ident.New()
	files, err := store.Create(t.Context(), id, &runtimeapi.PodSandboxConfig{Hostname: "first"}, podfiles.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(t.Context(), id, &runtimeapi.PodSandboxConfig{Hostname: "second"}, podfiles.Request{}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("error %v", err)
	}
	wantText(t, files.Hostname, "first\n")
	if exists, err := store.Exists(id); err != nil || !exists {
		t.Errorf("Exists = %t, %v", exists, err)
	}
}

func TestRemoveConverges(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t, machine(t))
	create := func() (string, podfiles.Files) {
		id := ident.New()
		files, err := store.Create(t.Context(), id, &runtimeapi.PodSandboxConfig{}, podfiles.Request{})
		if err != nil {
			t.Fatal(err)
		}
		return id, files
	}
	remove := func(id string) {
		t.Helper()
		if exists, err := store.Exists(id); err != nil || exists {
			t.Errorf("Exists = %t, %v", exists, err)
		}
		if err := store.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
		wantNothing(t, dir)
	}

	id, files := create() // as after a reboot
	if err := unix.Unmount(files.Shm, 0); err != nil {
		t.Fatal(err)
	}
	remove(id)

	id, files = create() // as after a crash
	if err := os.Remove(files.ResolvConf); err != nil {
		t.Fatal(err)
	}
	remove(id)

	id, files = create() // in use, and mounted over
	if err := unix.Mount("more", files.Shm, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	used, err := os.Create(filepath.Join(files.Shm, "used"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = used.Close() }()
	if err := os.Remove(files.Hosts); err != nil {
		t.Fatal(err)
	}
	remove(id)

	id, _ = create() // someone else keeps something
	other := filepath.Join(dir, id, "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := os.Remove(other); err != nil {
		t.Errorf("Remove took what is not its own: %v", err)
	}
	remove(id)
}

func TestConcurrentPods(t *testing.T) {
	t.Parallel()
	store, dir := newStore(t, machine(t))
	var all errgroup.Group
	start := time.Now()
	for range 64 {
		all.Go(func() error {
			id := ident.New()
			if _, err := store.Create(t.Context(), id, &runtimeapi.PodSandboxConfig{}, podfiles.Request{}); err != nil {
				return err
			}
			return store.Remove(t.Context(), id)
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("64 pods in %v", time.Since(start))
	wantNothing(t, dir)
}

func TestMissingHostFiles(t *testing.T) {
	t.Parallel()
	m := machine(t)
	m.Hosts += "-none"
	m.ResolvConf += "-none"
	store, _ := newStore(t, m)
	files, err := store.Create(t.Context(), ident.New(), &runtimeapi.PodSandboxConfig{}, podfiles.Request{})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, files.Hosts, "")
	wantText(t, files.ResolvConf, "")
}

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := podfiles.New("relative"); err == nil {
		t.Error("a relative directory is taken")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "pods")} {
		if _, err := podfiles.New(dir); err == nil {
			t.Errorf("%s is taken", dir)
		}
	}
	dir := filepath.Join(t.TempDir(), "pods")
	for range 2 {
		store, err := podfiles.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		id := ident.New()
		files, err := store.Create(t.Context(), id, &runtimeapi.PodSandboxConfig{}, podfiles.Request{})
		if err != nil {
			t.Fatal(err)
		}
		name, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, files.Hostname, name+"\n")
		if err := store.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	store, err := podfiles.New(filepath.Join(b.TempDir(), "pods"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		id := ident.New()
		if _, err := store.Create(b.Context(), id, &runtimeapi.PodSandboxConfig{}, podfiles.Request{}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := store.Remove(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
