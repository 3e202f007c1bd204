package forward_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/forward"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pod is a network namespace with a loopback, alive as long as its thread.
type pod struct {
	path string
	do   chan func()
}

func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{do: make(chan func())}
	ready := make(chan error)
	var group errgroup.Group
	group.Go(offMain(func() error {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			p.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
			err = loopbackUp()
		}
		ready <- err
		for fn := range p.do {
			fn()
		}
		return nil
	}))
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(p.do); _ = group.Wait() })
	return p
}

// offMain runs fn on a thread that ends with it, and not on the process's
// first, which cannot end and stands for the process in /proc.
func offMain(fn func() error) func() error {
	return func() error {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			return fn() // the thread stays locked
		}
		defer runtime.UnlockOSThread()
		var other errgroup.Group
		other.Go(offMain(fn))
		return other.Wait()
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// listen listens inside the pod and returns the port.
func (p *pod) listen(t *testing.T, address string) (net.Listener, int32) {
	t.Helper()
	var listener net.Listener
	var err error
	done := make(chan struct{})
	p.do <- func() { listener, err = net.Listen("tcp", address); close(done) }
	<-done
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return listener, int32(n)
}

// serve answers each connection with fn.
func serve(t *testing.T, listener net.Listener, fn func(*net.TCPConn)) {
	t.Helper()
	var group errgroup.Group
	group.Go(func() error {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return nil
			}
			group.Go(func() error {
				defer func() { _ = conn.Close() }()
				fn(conn.(*net.TCPConn))
				return nil
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); _ = group.Wait() })
}

// duplex is a client with a half-close, in memory.
type duplex struct {
	in      *io.PipeReader // what the client sends
	mu      sync.Mutex
	out     bytes.Buffer
	closed  bool
	aborted bool
}

func (d *duplex) Read(p []byte) (int, error) { return d.in.Read(p) }

func (d *duplex) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *duplex) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

func (d *duplex) abort() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.aborted = true
	_ = d.in.CloseWithError(io.ErrClosedPipe)
}

func newClient(half bool) (forward.Stream, *duplex, *io.PipeWriter) {
	in, send := io.Pipe()
	d := &duplex{in: in}
	return forward.Stream{ReadWriteCloser: d, HalfClose: half, Abort: d.abort}, d, send
}

func request(path string, ports ...int32) *streamerv1.PreparePortForwardRequest {
	return &streamerv1.PreparePortForwardRequest{PodId: "b0", NetnsPath: path, Ports: ports}
}

// TestEachFamily: servers on either loopback and on both are found, once.
func TestEachFamily(t *testing.T) {
	t.Parallel()
	p, f := newPod(t), forward.Forwarder{}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0", "0.0.0.0:0"} {
		var mu sync.Mutex
		accepted := 0
		listener, port := p.listen(t, address)
		serve(t, listener, func(c *net.TCPConn) {
			mu.Lock()
			accepted++
			mu.Unlock()
			_, _ = io.WriteString(c, "hello from "+address)
		})
		conn, err := f.Dial(t.Context(), p.path, port)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		got, err := io.ReadAll(conn)
		if string(got) != "hello from "+address || err != nil {
			t.Errorf("%s: %q, %v", address, got, err)
		}
		_ = conn.Close()
		mu.Lock()
		if accepted != 1 {
			t.Errorf("%s: the server saw %d connections", address, accepted)
		}
		mu.Unlock()
	}
}

// TestOnlyInThePod: a port of the host is not reached through a pod, and this
// process is in its own namespace afterwards, on every thread.
func TestOnlyInThePod(t *testing.T) {
	t.Parallel()
	p, f := newPod(t), forward.Forwarder{}
	host, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, host, func(c *net.TCPConn) { _, _ = io.WriteString(c, "host") })
	port := int32(host.Addr().(*net.TCPAddr).Port)
	_, err = f.Dial(t.Context(), p.path, port)
	if !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), fmt.Sprint(port)) {
		t.Errorf("through the pod: %v", err)
	}
	conn, err := f.Dial(t.Context(), "", port)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(conn)
	_ = conn.Close()
	if string(got) != "host" {
		t.Errorf("got %q", got)
	}
}

func TestHalfCloseBothWays(t *testing.T) {
	t.Parallel()
	p, f := newPod(t), forward.Forwarder{}
	listener, port := p.listen(t, "127.0.0.1:0")
	late := make(chan string, 1)
	serve(t, listener, func(c *net.TCPConn) {
		first := make([]byte, 4)
		_, _ = io.ReadFull(c, first)
		_, _ = c.Write(bytes.ToUpper(first))
		_ = c.CloseWrite() // the server says no more, but listens
		rest, _ := io.ReadAll(c)
		late <- string(rest)
	})
	stream, client, send := newClient(true)
	done := make(chan error, 1)
	go func() { done <- f.Forward(t.Context(), request(p.path, port), port, stream) }()
	_, _ = io.WriteString(send, "ping")
	for {
		client.mu.Lock()
		closed := client.closed
		client.mu.Unlock()
		if closed {
			break
		}
		time.Sleep(time.Millisecond)
	}
	_, _ = io.WriteString(send, "after the server's end")
	_ = send.Close()
	if got := <-late; got != "after the server's end" {
		t.Errorf("the server got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if client.out.String() != "PING" {
		t.Errorf("the client got %q", client.out.String())
	}
}

// TestClientWithoutHalfClose: its session ends when the server has.
func TestClientWithoutHalfClose(t *testing.T) {
	t.Parallel()
	p, f := newPod(t), forward.Forwarder{}
	listener, port := p.listen(t, "127.0.0.1:0")
	serve(t, listener, func(c *net.TCPConn) { _, _ = io.WriteString(c, "bye") })
	stream, client, _ := newClient(false)
	if err := f.Forward(t.Context(), request(p.path), port, stream); err != nil {
		t.Error(err)
	}
	if client.out.String() != "bye" || !client.aborted {
		t.Errorf("got %q, aborted %t", client.out.String(), client.aborted)
	}
}

func TestResetByServer(t *testing.T) {
	t.Parallel()
	p, f := newPod(t), forward.Forwarder{}
	listener, port := p.listen(t, "127.0.0.1:0")
	serve(t, listener, func(c *net.TCPConn) { _ = c.SetLinger(0) })
	stream, _, _ := newClient(true)
	if err := f.Forward(t.Context(), request(p.path), port, stream); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("error is %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	p, f := newPod(t), forward.Forwarder{}
	listener, port := p.listen(t, "127.0.0.1:0")
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	serve(t, listener, func(c *net.TCPConn) { cancel(gone); _, _ = io.Copy(io.Discard, c) })
	stream, _, _ := newClient(true)
	if err := f.Forward(ctx, request(p.path), port, stream); !errors.Is(err, gone) {
		t.Errorf("error is %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	p, f := newPod(t), forward.Forwarder{}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		request *streamerv1.PreparePortForwardRequest
		is      func(error) bool
	}{
		{request("relative"), errdefs.IsInvalidArgument},
		{request("/proc/../proc/self/ns/net"), errdefs.IsInvalidArgument},
		{request(file), errdefs.IsInvalidArgument},
		{request(fifo), errdefs.IsInvalidArgument},
		{request("/proc/self/ns/mnt"), errdefs.IsInvalidArgument},
		{request("/run/netns/none-such"), errdefs.IsNotFound},
		{request("", 0), errdefs.IsInvalidArgument},
		{request("", 65536), errdefs.IsInvalidArgument},
	} {
		if err := f.Check(test.request); !test.is(err) {
			t.Errorf("%v: error is %v", test.request, err)
		}
	}
	if err := f.Check(request(p.path, 80)); err != nil {
		t.Error(err)
	}
	stream, _, _ := newClient(true)
	if err := f.Forward(t.Context(), request(p.path, 80), 81, stream); !errdefs.IsPermissionDenied(err) {
		t.Errorf("a port that was not asked for: %v", err)
	}
	if err := f.Forward(t.Context(), request(p.path), 70000, stream); !errdefs.IsInvalidArgument(err) {
		t.Errorf("no port: %v", err)
	}
}

// TestManyAtOnce: threads that have been in pods are back, so descriptors and
// namespaces are not mixed up.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	f := forward.Forwarder{}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	for i := range 4 {
		p := newPod(t)
		listener, port := p.listen(t, "127.0.0.1:0")
		serve(t, listener, func(c *net.TCPConn) { _, _ = fmt.Fprint(c, i) })
		for range 25 {
			group.Go(func() error {
				conn, err := f.Dial(context.Background(), p.path, port)
				if err != nil {
					return err
				}
				defer func() { _ = conn.Close() }()
				got, err := io.ReadAll(conn)
				if err == nil && string(got) != fmt.Sprint(i) {
					err = fmt.Errorf("got %q from pod %d", got, i)
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if now, _ := os.Readlink("/proc/self/ns/net"); now != own {
		t.Errorf("main thread is in %s, was in %s", now, own)
	}
}
