package namespaces_test

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/namespaces"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	for _, user := range []bool{false, true} {
		t.Run(fmt.Sprintf("user=%t", user), func(t *testing.T) {
			t.Parallel()
			pins, dir := newPins(t)
			r := namespaces.Request{
				Net: true, IPC: true, UTS: true, Hostname: "web-0", UnprivilegedPorts: true, UnprivilegedICMP: true,
				Sysctls: map[string]string{"kernel.shmmax": "4242", "net/ipv4/ip_forward": "1", "fs.mqueue.msg_max": "17", "kernel.domainname": "cluster"},
			}
			if user {
				r.UIDs, r.GIDs = ids(200000), ids(300000)
			}
			id, paths := create(t, pins, r)
			found, alive, err := pins.Paths(id)
			if err != nil || !alive || found != paths {
				t.Errorf("Paths = %v, %t, %v; want %v", found, alive, err, paths)
			}
			for path, own := range map[string]string{
				paths.Net: "net", paths.IPC: "ipc", paths.UTS: "uts",
			} {
				if inode(t, path) == inode(t, "/proc/self/ns/"+own) {
					t.Errorf("%s namespace is the host's", own)
				}
			}
			if user != (paths.User != "") {
				t.Errorf("user namespace is %q", paths.User)
			}
			for path, want := range map[string]string{
				"kernel/shmmax": "4242", "net/ipv4/ip_forward": "1", "fs/mqueue/msg_max": "17", "kernel/domainname": "cluster",
				"net/ipv4/ip_unprivileged_port_start": "0",
			} {
				if got := sysctl(t, paths, path); got != want {
					t.Errorf("sysctl %s = %q, want %q", path, got, want)
				}
			}
			ping := map[bool]string{false: "0 2147483647", true: "1 0"}[user]
			if got := sysctl(t, paths, "net/ipv4/ping_group_range"); got != ping {
				t.Errorf("ping group range %q, want %q", got, ping)
			}
			if got := hostname(t, paths); got != "web-0" {
				t.Errorf("hostname %q", got)
			}
			inside(t, paths, func() error {
				lo, err := net.InterfaceByName("lo")
				if err == nil && lo.Flags&net.FlagUp == 0 {
					err = fmt.Errorf("lo is down")
				}
				return err
			})
			if err := pins.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			wantNothing(t, dir)
		})
	}
}

// The user namespace owns the others, has the mappings, and is owned by root.
func TestUserNamespaceOwns(t *testing.T) {
	t.Parallel()
	pins, _ := newPins(t)
	_, paths := create(t, pins, namespaces.Request{Net: true, IPC: true, UTS: true, UIDs: ids(200000), GIDs: ids(300000)})
	want := inode(t, paths.User)
	for _, path := range []string{paths.Net, paths.IPC, paths.UTS} {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		fd, err := unix.IoctlRetInt(int(file.Fd()), unix.NS_GET_USERNS)
		if err != nil {
			t.Fatal(err)
		}
		owner := os.NewFile(uintptr(fd), "owner")
		defer func() { _ = owner.Close() }()
		if got := inode(t, fmt.Sprintf("/proc/self/fd/%d", owner.Fd())); got != want {
			t.Errorf("owner of %s is %d, want %d", path, got, want)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	for _, user := range []bool{false, true} {
		b.Run(fmt.Sprintf("user=%t", user), func(b *testing.B) {
			pins, err := namespaces.New(b.TempDir() + "/pods")
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			var removal time.Duration
			for b.Loop() {
				n++
				r := namespaces.Request{
					ID: fmt.Sprintf("%x", n), Net: true, IPC: true, UTS: true, Hostname: "web-0", UnprivilegedPorts: true, UnprivilegedICMP: true,
				}
				if user {
					r.UIDs, r.GIDs = ids(200000), ids(200000)
				}
				if _, err := pins.Create(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				start := time.Now()
				if err := pins.Remove(b.Context(), r.ID); err != nil {
					b.Fatal(err)
				}
				removal += time.Since(start)
			}
			b.ReportMetric(float64(removal.Microseconds())/float64(n), "remove-us/op")
		})
	}
}
