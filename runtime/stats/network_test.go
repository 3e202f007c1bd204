package stats_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/stats"
)

// TestNetworkNamespace makes one with an interface that is spoken on.
func TestNetworkNamespace(t *testing.T) {
	t.Parallel()
	pin := filepath.Join(t.TempDir(), "net")
	write(t, pin, "")
	// A datagram makes the kernel ask for the address behind it, as soon as the
	// link is up.
	script := `set -e
		ip link add eth0 type veth peer name peer0
		ip addr add 10.255.255.1/24 dev eth0
		ip link set eth0 up
		ip link set peer0 up
		until awk '$1 == "eth0:" && $10 > 0 {sent = 1} END {exit !sent}' /proc/net/dev; do
			(echo > /dev/udp/10.255.255.2/9) 2> /dev/null || :
		done
		mount --bind /proc/self/ns/net "$0"`
	if out, err := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", script, pin).CombinedOutput(); err != nil {
		t.Fatalf("make a network namespace: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(pin, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		found, err := stats.Namespaces{}.Interfaces(pin)
		if err != nil {
			t.Fatal(err)
		}
		names := make(map[string]stats.Interface)
		for _, one := range found {
			names[one.Name] = one
		}
		if len(names) != 2 || names["eth0"].TxBytes == 0 || names["peer0"].RxBytes == 0 {
			t.Fatalf("found %+v", found)
		}
		if now, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || now != own {
			t.Fatalf("this thread is in %s, was in %s: %v", now, own, err)
		}
	}
}

func TestNoNetworkNamespace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing": filepath.Join(dir, "none"), "a file": filepath.Join(dir, "file"), "a FIFO": filepath.Join(dir, "fifo"),
		"another namespace": "/proc/self/ns/uts",
	} {
		if found, err := (stats.Namespaces{}).Interfaces(path); !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}
