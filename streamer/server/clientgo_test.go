package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

// executors are kubectl's clients of exec and attach, of today and before.
var executors = map[string]func(target string) (remotecommand.Executor, error){
	"spdy v4": overSPDY("v4.channel.k8s.io"),
	"spdy v3": overSPDY("v3.channel.k8s.io"),
	"spdy v2": overSPDY("v2.channel.k8s.io"),
	"spdy v1": overSPDY("channel.k8s.io"),
	"spdy, best": func(target string) (remotecommand.Executor, error) {
		parsed, err := url.Parse(target)
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutor(&rest.Config{Host: target}, "POST", parsed)
	},
	"websocket v5": func(target string) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(&rest.Config{Host: target}, "GET", target)
	},
	"websocket v4": func(target string) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutorForProtocols(&rest.Config{Host: target}, "GET", target, "v4.channel.k8s.io")
	},
}

func overSPDY(protocol string) func(string) (remotecommand.Executor, error) {
	return func(target string) (remotecommand.Executor, error) {
		parsed, err := url.Parse(target)
		if err != nil {
			return nil, err
		}
		transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: target})
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, "POST", parsed, protocol)
	}
}

// run runs a session as kubectl does. The code is that of the error, or 0.
func run(ctx context.Context, client, target string, options remotecommand.StreamOptions) (code int, err error) {
	executor, err := executors[client](target)
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

// exact tells whether a client gets exit codes, and can end its input.
func exact(client string) (codes, halfClose bool) {
	switch client {
	case "spdy v3", "spdy v2":
		return false, true
	case "websocket v4":
		return true, false
	}
	return true, true
}

// sink is output that may still come when its client has returned: clients
// before version 4 do not wait for it.
type sink struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestClientsExec(t *testing.T) {
	t.Parallel()
	for client := range executors {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			f := serve(t, config)
			var out, failed sink
			if _, err := run(t.Context(), client, f.execURL(t, false, "say"), remotecommand.StreamOptions{
				Stdin: strings.NewReader(""), Stdout: &out, Stderr: &failed,
			}); err != nil || out.String() != "said" {
				t.Errorf("say: output %q, error %v", out.String(), err)
			}
			if client == "spdy v1" {
				return // it leaves goroutines behind when something fails
			}
			out.text.Reset()
			codes, halfClose := exact(client)
			if halfClose {
				if _, err := run(t.Context(), client, f.execURL(t, false, "cat"), remotecommand.StreamOptions{
					Stdin: strings.NewReader("over and back"), Stdout: &out, Stderr: &failed,
				}); err != nil || out.String() != "over and back" {
					t.Errorf("cat: output %q, error %v", out.String(), err)
				}
			}
			code, err := run(t.Context(), client, f.execURL(t, false, "fail"), remotecommand.StreamOptions{
				Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &failed,
			})
			if codes && (failed.String() != "no such thing" || code != 7 || err != nil) {
				t.Errorf("fail: stderr %q, code %d, error %v", failed.String(), code, err)
			}
			if !codes && (err == nil || !strings.Contains(err.Error(), "exited with code 7")) {
				t.Errorf("fail: error %v", err)
			}
			if _, err = run(t.Context(), client, f.execURL(t, false, "nothing"), remotecommand.StreamOptions{
				Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
			}); err == nil || !strings.Contains(err.Error(), "cannot start") {
				t.Errorf("command that cannot start: %v", err)
			}
		})
	}
}

// oneSize is a terminal that has one size.
type oneSize struct {
	sent bool
	done <-chan struct{}
}

func (s *oneSize) Next() *remotecommand.TerminalSize {
	if s.sent {
		<-s.done
		return nil
	}
	s.sent = true
	return &remotecommand.TerminalSize{Width: 132, Height: 43}
}

func TestClientsTerminal(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"spdy v4", "spdy v3", "spdy, best", "websocket v5", "websocket v4"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			f := serve(t, config)
			done := make(chan struct{})
			defer close(done)
			var out bytes.Buffer
			if _, err := run(t.Context(), client, f.execURL(t, true, "size"), remotecommand.StreamOptions{
				Stdin: strings.NewReader(""), Stdout: &out, Tty: true, TerminalSizeQueue: &oneSize{done: done},
			}); err != nil || out.String() != "132x43 tty=true stderr=false" {
				t.Errorf("output %q, error %v", out.String(), err)
			}
		})
	}
	// Versions 1 and 2 have a terminal without a size.
	f := serve(t, config)
	var out bytes.Buffer
	if _, err := run(t.Context(), "spdy v2", f.execURL(t, true, "cat"), remotecommand.StreamOptions{
		Stdin: strings.NewReader("keys"), Stdout: &out, Tty: true,
	}); err != nil || out.String() != "keys" {
		t.Errorf("output %q, error %v", out.String(), err)
	}
}

func TestClientsAttach(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"spdy, best", "websocket v5"} {
		f := serve(t, config)
		var out bytes.Buffer
		if _, err := run(t.Context(), client, f.url(t, session.Attach, &streamerv1.PrepareAttachRequest{
			Container: &streamerv1.Container{Id: "c0"}, Stdin: true, Stdout: true, Stderr: true,
		}), remotecommand.StreamOptions{Stdin: strings.NewReader("line"), Stdout: &out, Stderr: io.Discard}); err != nil || out.String() != "line" {
			t.Errorf("%s: output %q, error %v", client, out.String(), err)
		}
	}
}

// TestClientsVolume sends much through and back, in writes as big as clients
// make them, and half-closes.
func TestClientsVolume(t *testing.T) {
	t.Parallel()
	input := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(input)
	want := sha256.Sum256(input)
	for _, client := range []string{"spdy, best", "websocket v5"} {
		for name, stdin := range map[string]io.Reader{
			"in pieces": struct{ io.Reader }{bytes.NewReader(input)}, "at once": bytes.NewReader(input),
		} {
			t.Run(fmt.Sprint(client, " ", name), func(t *testing.T) {
				t.Parallel()
				f := serve(t, config)
				hash := sha256.New()
				if _, err := run(t.Context(), client, f.execURL(t, false, "cat"), remotecommand.StreamOptions{
					Stdin: stdin, Stdout: hash, Stderr: io.Discard,
				}); err != nil || [32]byte(hash.Sum(nil)) != want {
					t.Errorf("other bytes, or error %v", err)
				}
			})
		}
	}
}

// TestExitCodeWhileSending: the command ends while its client still sends.
// The code must not get lost with what nobody has read.
func TestExitCodeWhileSending(t *testing.T) {
	t.Parallel()
	for _, client := range []string{"spdy, best", "websocket v5", "websocket v4"} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			f := serve(t, config)
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				code, err := run(ctx, client, f.execURL(t, false, "fail"), remotecommand.StreamOptions{
					Stdin: endless{ctx}, Stdout: io.Discard, Stderr: io.Discard,
				})
				cancel()
				if code != 7 || err != nil {
					t.Fatalf("code %d, error %v", code, err)
				}
			}
		})
	}
}

// endless is input until the context ends.
type endless struct{ ctx context.Context }

func (e endless) Read(p []byte) (int, error) {
	if e.ctx.Err() != nil {
		return 0, io.EOF
	}
	return len(p), nil
}
