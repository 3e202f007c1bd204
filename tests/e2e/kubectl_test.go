//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/trivet-cri/trivet/tests/harness"
)

// executors are kubectl's clients of exec and attach.
var executors = map[string]func(target *url.URL) (remotecommand.Executor, error){
	"spdy": func(target *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewSPDYExecutor(&rest.Config{Host: target.String()}, "POST", target)
	},
	"websocket": func(target *url.URL) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(&rest.Config{Host: target.String()}, "GET", target.String())
	},
	// The first is refused here, as by servers that know no WebSocket.
	"fallback": func(target *url.URL) (remotecommand.Executor, error) {
		refused := *target
		refused.Path = "/no/such/session"
		first, err := remotecommand.NewWebSocketExecutor(&rest.Config{Host: target.String()}, "GET", refused.String())
		if err != nil {
			return nil, err
		}
		second, err := remotecommand.NewSPDYExecutor(&rest.Config{Host: target.String()}, "POST", target)
		if err != nil {
			return nil, err
		}
		return remotecommand.NewFallbackExecutor(first, second, func(err error) bool { return err != nil })
	},
}

// kubectl runs a session as kubectl does and returns the exit code.
func kubectl(ctx context.Context, client, target string, options remotecommand.StreamOptions) (int, error) {
	parsed, err := url.Parse(target)
	if err != nil {
		return 0, err
	}
	executor, err := executors[client](parsed)
	if err != nil {
		return 0, err
	}
	err = executor.StreamWithContext(ctx, options)
	var exit exec.CodeExitError
	if errors.As(err, &exit) {
		return exit.Code, nil
	}
	return 0, err
}

// TestKubectlExec sends 100 MB and half-closes; the command sees the end, and
// its answer, error output and exit code arrive.
func TestKubectlExec(t *testing.T) {
	for client := range executors {
		t.Run(client, func(t *testing.T) {
			ctx := limit(t, 3*time.Minute)
			container := need(runPod(t, stage.CRI(), "kubectl").Run(ctx, "main"))(t)
			input := newNoise(amount)
			var out, failed bytes.Buffer
			code, err := kubectl(ctx, client, need(container.ExecURL(ctx, false, true, "/bin/sh", "-c", "sha256sum; echo to stderr >&2; exit 5"))(t),
				remotecommand.StreamOptions{Stdin: input, Stdout: &out, Stderr: &failed})
			ok(t, err)
			if sum := strings.Fields(out.String() + " -")[0]; code != 5 || failed.String() != "to stderr\n" || sum != input.sum() {
				t.Errorf("exit code %d, stderr %q, sum %s instead of %s", code, failed.String(), sum, input.sum())
			}
			if _, err := kubectl(ctx, client, need(container.ExecURL(ctx, false, false, "/no/such/program"))(t),
				remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
				t.Errorf("a program that does not exist: %v", err)
			}
		})
	}
}

// terminalSizes is a terminal's queue of sizes.
type terminalSizes chan remotecommand.TerminalSize

func (s terminalSizes) Next() *remotecommand.TerminalSize {
	size, more := <-s
	if !more {
		return nil
	}
	return &size
}

func TestKubectlTerminal(t *testing.T) {
	for _, client := range []string{"spdy", "websocket"} {
		t.Run(client, func(t *testing.T) {
			ctx := limit(t, time.Minute)
			container := need(runPod(t, stage.CRI(), "kubectl-terminal").Run(ctx, "main"))(t)
			screen := newScreen()
			keys, typed := io.Pipe()
			sizes := make(terminalSizes, 1)
			defer close(sizes)
			sizes <- remotecommand.TerminalSize{Width: 100, Height: 30}
			target := need(container.ExecURL(ctx, true, true, "/bin/sh"))(t)
			result := make(chan error, 1)
			go func() {
				code, err := kubectl(ctx, client, target, remotecommand.StreamOptions{Stdin: keys, Stdout: screen, Tty: true, TerminalSizeQueue: sizes})
				if err == nil && code != 9 {
					err = fmt.Errorf("exit code %d, want 9", code)
				}
				result <- err
			}()
			awaitSize(ctx, t, typed, screen, "30 100")
			sizes <- remotecommand.TerminalSize{Width: 132, Height: 43}
			awaitSize(ctx, t, typed, screen, "43 132")
			need(fmt.Fprint(typed, "exit 9\n"))(t)
			ok(t, <-result)
		})
	}
}

func TestKubectlAttach(t *testing.T) {
	for _, client := range []string{"spdy", "websocket"} {
		t.Run(client, func(t *testing.T) {
			ctx := limit(t, time.Minute)
			container := need(runPod(t, stage.CRI(), "kubectl-attach").Run(ctx, "main", harness.Shell("read line; echo got $line; cat; exit 4"),
				func(c *runtimeapi.ContainerConfig) { c.Stdin, c.StdinOnce = true, true }))(t)
			var out bytes.Buffer
			_, err := kubectl(ctx, client, need(container.AttachURL(ctx, false, true))(t),
				remotecommand.StreamOptions{Stdin: strings.NewReader("one\nand more\n"), Stdout: &out, Stderr: io.Discard})
			ok(t, err)
			if out.String() != "got one\nand more\n" {
				t.Errorf("output is %q", out.String())
			}
			if status := need(container.AwaitExit(ctx))(t); status.GetExitCode() != 4 {
				t.Errorf("exit code %d", status.GetExitCode())
			}
		})
	}
}

// dialers are kubectl's clients of port-forward.
var dialers = map[string]func(target *url.URL) (httpstream.Dialer, error){
	"spdy": func(target *url.URL) (httpstream.Dialer, error) {
		transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: target.String()})
		if err != nil {
			return nil, err
		}
		return spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, "POST", target), nil
	},
	"tunnel": func(target *url.URL) (httpstream.Dialer, error) {
		return portforward.NewSPDYOverWebsocketDialerForStreaming(target, &rest.Config{Host: target.String()})
	},
}

// TestKubectlForward has HTTP go to two servers in a pod.
func TestKubectlForward(t *testing.T) {
	for client := range dialers {
		t.Run(client, func(t *testing.T) {
			ctx, cancel := context.WithCancel(limit(t, time.Minute))
			pod := runPod(t, stage.CRI(), "kubectl-forward")
			container := need(pod.Run(ctx, "server", harness.Shell(
				"mkdir /tmp/a /tmp/b; echo first > /tmp/a/index.html; echo second > /tmp/b/index.html; httpd -p 8080 -h /tmp/a; httpd -p 8081 -h /tmp/b; echo up; sleep 1000")))(t)
			ok(t, container.AwaitLog(ctx, "up"))
			target := need(url.Parse(need(pod.PortForwardURL(ctx))(t)))(t)
			ready := make(chan struct{})
			forwarder := need(portforward.NewOnAddressesForStreamingWithContext(ctx, need(dialers[client](target))(t), []string{"127.0.0.1"},
				[]string{"0:8080", "0:8081"}, ready, io.Discard, io.Discard))(t)
			done := make(chan error, 1)
			go func() { done <- forwarder.ForwardPorts() }()
			select {
			case <-ready:
			case err := <-done:
				t.Fatal(err)
			}
			for i, port := range need(forwarder.GetPorts())(t) {
				want := []string{"first\n", "second\n"}[i]
				for range 10 {
					if text := need(page(fmt.Sprintf("http://127.0.0.1:%d/", port.Local)))(t); text != want {
						t.Errorf("port %d says %q", port.Remote, text)
					}
				}
			}
			cancel()
			ok(t, <-done)
		})
	}
}

// page reads what is at a URL, on a connection of its own.
func page(target string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(target)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
