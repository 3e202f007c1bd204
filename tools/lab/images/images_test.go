// Package images_test runs the programs that the images contain.
package images_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func build(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "./"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func TestPauseSleepsUntilItIsTold(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), build(t, "pause"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Children that end must not end it.
	for range 3 {
		if err := cmd.Process.Signal(unix.SIGCHLD); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("ended by itself: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestNnpSaysWhoItIs(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), build(t, "nnp")).Output()
	if want := "Effective uid: " + strconv.Itoa(os.Geteuid()) + "\n"; err != nil || string(out) != want {
		t.Errorf("said %q: %v", out, err)
	}
}

func TestNginxLooksLikeTheRealOne(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	// In a mount namespace with a /run of its own, for the file with the pid.
	script := `mount -t tmpfs none /run && exec "$0" -g 'daemon off;' -listen "$1"`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script, build(t, "nginx"), address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	page := get(t, "http://"+address+"/any/path")
	if !strings.Contains(page, "Welcome to nginx!") {
		t.Errorf("page is %q", page)
	}
	proc := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid))
	line, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil || !strings.HasPrefix(string(line), "nginx: master process") {
		t.Errorf("command line is %q: %v", line, err)
	}
	// /var/run is a link to /run, which would lead out of the mount namespace.
	written, err := os.ReadFile(filepath.Join(proc, "root/run/nginx.pid"))
	if err != nil || strings.TrimSpace(string(written)) != strconv.Itoa(cmd.Process.Pid) {
		t.Errorf("pid file has %q: %v", written, err)
	}
	if err := cmd.Process.Signal(unix.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGQUIT ends it with %v", err)
	}
}

// get asks until there is an answer.
func get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		reply, err := client.Get(url)
		if err == nil {
			text, err := io.ReadAll(reply.Body)
			_ = reply.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
