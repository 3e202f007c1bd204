package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/forward"
	"github.com/trivet-cri/trivet/streamer/server"
	"github.com/trivet-cri/trivet/streamer/session"
)

func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // what clients complain of
	code := m.Run()
	// The library takes a second to end for a client that closes twice.
	leaked := goleak.Find()
	for tries := 0; leaked != nil && tries < 3; tries++ {
		leaked = goleak.Find()
	}
	if leaked != nil && code == 0 {
		fmt.Fprintln(os.Stderr, leaked)
		code = 1
	}
	os.Exit(code)
}

// commands plays containers and pods.
type commands struct {
	begun chan struct{}
	ended chan error // why a "hang" has ended
}

func (c *commands) Stream(ctx context.Context, r *streamerv1.PrepareExecRequest, s exec.Streams) (int, error) {
	switch r.GetCmd()[0] {
	case "cat":
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 0, err
	case "say":
		_, err := io.WriteString(s.Stdout, "said")
		return 0, err
	case "fail":
		_, _ = io.WriteString(s.Stderr, "no such thing")
		return 7, nil
	case "size":
		size := <-s.Resize
		_, _ = fmt.Fprintf(s.Stdout, "%dx%d tty=%t stderr=%t", size.Width, size.Height, s.TTY, s.Stderr != nil)
		return 0, nil
	case "hang":
		close(c.begun)
		<-ctx.Done()
		c.ended <- context.Cause(ctx)
		return 0, fmt.Errorf("killed: %w", context.Cause(ctx))
	}
	return 0, errors.New("cannot start")
}

func (c *commands) Attach(ctx context.Context, r *streamerv1.PrepareAttachRequest, s attach.Streams) error {
	_, err := c.Stream(ctx, &streamerv1.PrepareExecRequest{Cmd: []string{"cat"}}, exec.Streams{Stdin: s.Stdin, Stdout: s.Stdout})
	return err
}

func (c *commands) Forward(ctx context.Context, _ *streamerv1.PreparePortForwardRequest, port int32, client forward.Stream) error {
	switch port {
	case 80:
		text, err := io.ReadAll(client)
		if err != nil {
			return err
		}
		_, err = client.Write(bytes.ToUpper(text))
		return err
	case 82: // answers without waiting for the client's end
		buffer := make([]byte, 4)
		_, _ = io.ReadFull(client, buffer)
		_, err := client.Write(bytes.ToUpper(buffer))
		return err
	case 90:
		close(c.begun)
		<-ctx.Done()
		c.ended <- context.Cause(ctx)
		return context.Cause(ctx)
	}
	return fmt.Errorf("connection to port %d refused", port)
}

type fixture struct {
	*server.Server
	*commands
	sessions *session.Set
	address  string
	stop     func() error
	clock    *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func serve(t testing.TB, config server.Config) *fixture {
	t.Helper()
	c := &commands{begun: make(chan struct{}), ended: make(chan error, 1)}
	return serveWith(t, config, c, c)
}

// serveWith takes another way to forward.
func serveWith(t testing.TB, config server.Config, c *commands, forwarder server.Forward) *fixture {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		commands: c,
		sessions: session.NewSet(), address: listener.Addr().String(), clock: &clock{now: time.Now()},
	}
	f.Server = server.New(listener, config, server.Handlers{Exec: f.commands, Attach: f.commands, Forward: forwarder},
		session.NewTokens(f.clock.Now), f.sessions, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx) }()
	f.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return f
}

func (f *fixture) execURL(t testing.TB, tty bool, cmd ...string) string {
	t.Helper()
	return f.url(t, session.Exec, &streamerv1.PrepareExecRequest{
		Container: &streamerv1.Container{Id: "c0"}, Cmd: cmd, Tty: tty, Stdin: true, Stdout: true, Stderr: !tty,
	})
}

func (f *fixture) url(t testing.TB, kind session.Kind, request any) string {
	t.Helper()
	url, err := f.URL(t.Context(), kind, request)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// dialSPDY upgrades to SPDY.
func dialSPDY(t *testing.T, url, protocol string) httpstream.Connection {
	t.Helper()
	transport, err := spdy.NewRoundTripper(nil)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(httpstream.HeaderProtocolVersion, protocol)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	conn, err := transport.NewConnection(response)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open opens a stream of an exec session.
func open(t *testing.T, conn httpstream.Connection, headers ...string) httpstream.Stream {
	t.Helper()
	header := make(http.Header)
	for i := 0; i < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	stream, err := conn.CreateStream(header)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// dialWebSocket upgrades to WebSocket.
func dialWebSocket(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"v4.channel.k8s.io"}}
	conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(url, "http"), nil) //nolint:bodyclose // the library has replaced it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// channels reads messages until the server closes, by channel.
func channels(conn *websocket.Conn) map[byte]string {
	got := make(map[byte]string)
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return got
		}
		if len(message) > 0 {
			got[message[0]] += string(message[1:])
		}
	}
}

func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}
