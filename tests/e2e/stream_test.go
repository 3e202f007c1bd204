//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

var transports = []stream.Transport{stream.SPDY, stream.WebSocket}

// amount is what the big transfers carry, in bytes.
const amount = 100 << 20

// noise is a reproducible stream of random bytes that hashes what was read.
type noise struct {
	io.Reader
	sum func() string
}

func newNoise(n int64) noise {
	hash := sha256.New()
	source := io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
	return noise{io.TeeReader(source, hash), func() string { return hex.EncodeToString(hash.Sum(nil)) }}
}

// TestExecUpload sends 100 MB into a container and half-closes: the command
// sees the end, answers, and its exit code arrives.
func TestExecUpload(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			ctx := limit(t, 3*time.Minute)
			container := need(runPod(t, stage.CRI(), "upload").Run(ctx, "main"))(t)
			url := need(container.ExecURL(ctx, false, true, "/bin/sh", "-c", "sha256sum; echo to stderr >&2; exit 5"))(t)
			input := newNoise(amount)
			var out, failed bytes.Buffer
			begun := time.Now()
			code, err := stream.Session{Transport: transport, URL: url, Stdin: input, Stdout: &out, Stderr: &failed}.Run(ctx)
			ok(t, err)
			t.Logf("%.0f MiB/s", amount/float64(1<<20)/time.Since(begun).Seconds())
			if code != 5 || failed.String() != "to stderr\n" {
				t.Errorf("exit code %d, stderr %q", code, failed.String())
			}
			if sum := strings.Fields(out.String() + " -")[0]; sum != input.sum() {
				t.Errorf("the container got other bytes: %s instead of %s", sum, input.sum())
			}
		})
	}
}

// TestExecDownload reads 100 MB out of a container, and over WebSocket sends
// them first: both directions of both transports.
func TestExecDownload(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			ctx := limit(t, 3*time.Minute)
			container := need(runPod(t, stage.CRI(), "download").Run(ctx, "main"))(t)
			input := newNoise(amount)
			code, err := stream.Session{
				Transport: transport,
				URL:       need(container.ExecURL(ctx, false, true, "/bin/sh", "-c", fmt.Sprintf("head -c %d > /tmp/data", amount)))(t),
				Stdin:     input, Stdout: io.Discard, Stderr: io.Discard,
			}.Run(ctx)
			if err != nil || code != 0 {
				t.Fatalf("upload: exit code %d, error %v", code, err)
			}
			hash := sha256.New()
			code, err = stream.Session{
				Transport: transport,
				URL:       need(container.ExecURL(ctx, false, false, "/bin/sh", "-c", "cat /tmp/data; exit 6"))(t),
				Stdout:    hash, Stderr: io.Discard,
			}.Run(ctx)
			if err != nil || code != 6 {
				t.Fatalf("download: exit code %d, error %v", code, err)
			}
			if sum := hex.EncodeToString(hash.Sum(nil)); sum != input.sum() {
				t.Errorf("other bytes came back: %s instead of %s", sum, input.sum())
			}
		})
	}
}

// TestTerminal runs an interactive shell on a terminal that is resized.
func TestTerminal(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			ctx := limit(t, time.Minute)
			container := need(runPod(t, stage.CRI(), "terminal").Run(ctx, "main"))(t)
			shell := openConsole(ctx, t, transport, need(container.ExecURL(ctx, true, true, "/bin/sh"))(t))
			shell.sizes <- stream.Size{Width: 132, Height: 43}
			shell.awaitSize(ctx, t, "43 132")
			need(fmt.Fprint(shell.typed, "test -t 0 && echo on a ter''minal\n"))(t)
			ok(t, shell.await(ctx, "on a terminal"))
			if code := need(shell.exit(ctx, 9))(t); code != 9 {
				t.Errorf("exit code %d, want 9", code)
			}
		})
	}
}

// awaitSize asks the shell for its size until it is the one wanted.
func awaitSize(ctx context.Context, t *testing.T, keyboard io.Writer, screen *screen, want string) {
	t.Helper()
	ok(t, harness.WaitFor(ctx, 20*time.Second, "size "+want, func(ctx context.Context) error {
		if _, err := fmt.Fprint(keyboard, "stty size\n"); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		return screen.await(ctx, "\n"+want)
	}))
}

// TestAttach joins a container's own streams.
func TestAttach(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			ctx := limit(t, time.Minute)
			pod := runPod(t, stage.CRI(), "attach")
			container := need(pod.Run(ctx, "main", harness.Shell("while read line; do echo got $line; echo err $line >&2; done; echo over; exit 4"),
				func(c *runtimeapi.ContainerConfig) { c.Stdin, c.StdinOnce = true, true }))(t)
			keys, typed := io.Pipe()
			out, failed := newScreen(), newScreen()
			result := make(chan error, 1)
			session := stream.Session{
				Transport: transport, URL: need(container.AttachURL(ctx, false, true))(t),
				Stdin: keys, Stdout: out, Stderr: failed,
			}
			go func() { _, err := session.Run(ctx); result <- err }()
			need(fmt.Fprint(typed, "one\n"))(t)
			ok(t, out.await(ctx, "got one\n"))
			ok(t, failed.await(ctx, "err one\n"))
			ok(t, typed.Close()) // the half-close ends the container's input
			ok(t, <-result)
			if status := need(container.AwaitExit(ctx))(t); status.GetExitCode() != 4 {
				t.Errorf("exit code %d", status.GetExitCode())
			}
			ok(t, out.await(ctx, "over\n"))
			ok(t, container.AwaitLog(ctx, "got one")) // attach takes nothing from the log
		})
	}
}

// TestPortForward talks to a server in a pod, and to a port where nobody
// listens.
func TestPortForward(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			ctx := limit(t, time.Minute)
			pod := runPod(t, stage.CRI(), "forward")
			container := need(pod.Run(ctx, "server", harness.Shell("nc -ll -p 8080 -e /bin/sh -c 'read x; echo you said $x' & echo up; wait")))(t)
			ok(t, container.AwaitLog(ctx, "up"))
			ok(t, harness.WaitFor(ctx, 20*time.Second, "an answer", func(ctx context.Context) error {
				answer, err := talk(ctx, pod, transport, 8080, "hello\n")
				if err == nil && answer != "you said hello\n" {
					err = fmt.Errorf("answer is %q", answer)
				}
				return err
			}))
			_, err := talk(ctx, pod, transport, 8081, "hello\n")
			says(t, err, "8081", "refused")
		})
	}
}

// talk sends text to a port of the pod, half-closes, and returns the answer.
func talk(ctx context.Context, pod *harness.Pod, transport stream.Transport, port int32, text string) (string, error) {
	url, err := pod.PortForwardURL(ctx, port)
	if err != nil {
		return "", err
	}
	forward, err := stream.OpenForward(ctx, transport, url, port)
	if err != nil {
		return "", err
	}
	defer func() { _ = forward.Close() }()
	defer context.AfterFunc(ctx, func() { _ = forward.Close() })() // ends reads
	conn, err := forward.Dial(port)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		return "", errors.Join(err, conn.Err()) // the server's may have come first
	}
	if err := conn.CloseWrite(); err != nil {
		return "", errors.Join(err, conn.Err())
	}
	answer, readErr := io.ReadAll(conn)
	return string(answer), errors.Join(conn.Err(), readErr)
}

// TestPortForwardVolume moves 100 MB through a port of a pod, both ways at once.
func TestPortForwardVolume(t *testing.T) {
	ctx := limit(t, 3*time.Minute)
	pod := runPod(t, stage.CRI(), "volume")
	container := need(pod.Run(ctx, "echo", harness.Shell("echo up; exec nc -l -p 9000 -e cat")))(t)
	ok(t, container.AwaitLog(ctx, "up"))
	ip := need(pod.IP(ctx))(t)
	if net.ParseIP(ip) == nil {
		t.Fatalf("address is %q", ip)
	}
	forward := need(stream.OpenForward(ctx, stream.SPDY, need(pod.PortForwardURL(ctx, 9000))(t), 9000))(t)
	defer func() { _ = forward.Close() }()
	conn := need(forward.Dial(9000))(t)
	input, hash := newNoise(amount), sha256.New()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(conn, input)
		sent <- errors.Join(err, conn.CloseWrite())
	}()
	n := need(io.Copy(hash, conn))(t)
	ok(t, <-sent)
	if n != amount || hex.EncodeToString(hash.Sum(nil)) != input.sum() {
		t.Errorf("%d bytes came back, or others", n)
	}
}

// TestCrictl uses Kubernetes' own client for what users do by hand.
func TestCrictl(t *testing.T) {
	ctx := limit(t, time.Minute)
	container := need(runPod(t, stage.CRI(), "crictl").Run(ctx, "main", harness.Shell("echo in the log; sleep 1000")))(t)
	ok(t, container.AwaitLog(ctx, "in the log"))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"exec", container.ID, "echo", "over spdy"}, "over spdy\n"},
		{[]string{"exec", "--sync", container.ID, "echo", "at once"}, "at once\n"},
		{[]string{"logs", container.ID}, "in the log\n"},
	} {
		// crictl adds empty lines of its own to what a command prints.
		if got := need(stage.CRI().Crictl(ctx, test.args...))(t); strings.TrimRight(got, "\n")+"\n" != test.want {
			t.Errorf("crictl %v gives %q, want %q", test.args, got, test.want)
		}
	}
}
