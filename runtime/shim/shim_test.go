package shim_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/shim"
)

// sleeper is a process with arguments of a shim, stopped like one that hangs.
func sleeper(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", append([]string{"-c", "kill -STOP $$; sleep 1000", "shim"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestKill(t *testing.T) {
	t.Parallel()
	id, other := ident.New(), ident.New()
	hung := sleeper(t, "-namespace", "k8s.io", "-id", id, "-address", "/run/x.sock")
	for _, args := range [][]string{
		{"-namespace", "k8s.io", "-id", other}, {"-namespace", "k8s.io", "-id", id + "0"}, {"-id", id}, {"-namespace", id}, {"kill", id},
	} {
		spared := sleeper(t, args...)
		t.Cleanup(func() {
			if err := spared.Process.Signal(unix.Signal(0)); err != nil {
				t.Errorf("%q was killed: %v", args, err)
			}
		})
	}
	if killed, err := shim.Kill(id); killed != 1 || err != nil {
		t.Fatalf("killed %d, %v", killed, err)
	}
	if err := hung.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the shim ended with %v", err)
	}
	if killed, err := shim.Kill(id); killed != 0 || err != nil {
		t.Errorf("once more: killed %d, %v", killed, err)
	}
	if _, err := shim.Kill("-id"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("a bad id: %v", err)
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id abc -address /run/x.sock": true,
		"/opt/shim --namespace k8s.io --id abc":                                           true,
		"/opt/own -id abc -namespace k8s.io":                                              true,
		"containerd-shim-runc-v2 -namespace k8s.io -id abcd":                              false,
		"containerd-shim-runc-v2 -id abc":                                                 false,
		"containerd-shim-runc-v2 namespace k8s.io id abc":                                 false,
		"-namespace -id": false,
		"":               false,
	} {
		if got := shim.Serves(append(bytes.ReplaceAll([]byte(line), []byte(" "), []byte{0}), 0), "abc"); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
