package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	shimapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/trivet-cri/trivet/streamer/engine"
)

// doomed is a process whose Exec lasts as long as the shim.
const doomed = "doomed"

// fakeShim plays the task service of a shim, on a real socket.
type fakeShim struct {
	shimapi.TTRPCTaskService // the calls that nobody makes

	mu        sync.Mutex
	calls     []string
	namespace string
	exit      chan struct{} // closed when the process exits
	waiting   chan struct{} // closed when a Wait, or the doomed Exec, has come
	once      sync.Once
	accepted  atomic.Int32 // connections
}

// counting counts the connections of a fake shim.
type counting struct {
	net.Listener
	shim *fakeShim
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.shim.accepted.Add(1)
	}
	return conn, err
}

func (f *fakeShim) note(ctx context.Context, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	f.namespace, _ = ttrpc.GetMetadataValue(ctx, "containerd-namespace-ttrpc")
}

func (f *fakeShim) Exec(ctx context.Context, r *shimapi.ExecProcessRequest) (*emptypb.Empty, error) {
	f.note(ctx, "exec %s %s %s %s %s %t", r.ID, r.ExecID, r.Stdin, r.Stdout, r.Stderr, r.Terminal)
	if r.ExecID == doomed {
		close(f.waiting)
		<-ctx.Done()
	}
	return &emptypb.Empty{}, nil
}

func (f *fakeShim) Start(ctx context.Context, r *shimapi.StartRequest) (*shimapi.StartResponse, error) {
	f.note(ctx, "start %s %s", r.ID, r.ExecID)
	return &shimapi.StartResponse{Pid: 77}, nil
}

func (f *fakeShim) Wait(ctx context.Context, r *shimapi.WaitRequest) (*shimapi.WaitResponse, error) {
	f.once.Do(func() { close(f.waiting) })
	select {
	case <-f.exit:
		f.note(ctx, "wait %s %s", r.ID, r.ExecID)
		return &shimapi.WaitResponse{ExitStatus: 5}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fakeShim) Kill(ctx context.Context, r *shimapi.KillRequest) (*emptypb.Empty, error) {
	f.note(ctx, "kill %s %s %d", r.ID, r.ExecID, r.Signal)
	return nil, errgrpc.ToGRPC(errdefs.ErrNotFound)
}

func (f *fakeShim) ResizePty(ctx context.Context, r *shimapi.ResizePtyRequest) (*emptypb.Empty, error) {
	f.note(ctx, "resize %s %s %dx%d", r.ID, r.ExecID, r.Width, r.Height)
	return &emptypb.Empty{}, nil
}

func (f *fakeShim) CloseIO(ctx context.Context, r *shimapi.CloseIORequest) (*emptypb.Empty, error) {
	f.note(ctx, "close %s %s %t", r.ID, r.ExecID, r.Stdin)
	return &emptypb.Empty{}, nil
}

func (f *fakeShim) Delete(ctx context.Context, r *shimapi.DeleteRequest) (*shimapi.DeleteResponse, error) {
	f.note(ctx, "delete %s %s", r.ID, r.ExecID)
	return &shimapi.DeleteResponse{}, nil
}

// startShim serves a fake shim for the container aa and returns the state
// directory that leads there, and how to kill it.
func startShim(t *testing.T) (*fakeShim, string, func()) {
	t.Helper()
	f := &fakeShim{exit: make(chan struct{}), waiting: make(chan struct{})}
	socket := filepath.Join(t.TempDir(), "shim")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	shimapi.RegisterTTRPCTaskService(server, f)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(context.Background(), counting{listener, f}) }()
	kill := sync.OnceFunc(func() { _ = server.Close(); <-done })
	t.Cleanup(kill)
	return f, bundle(t, map[string]any{"version": 3, "address": "unix://" + socket, "protocol": "ttrpc"}), kill
}

// bundle makes a state directory in which the container aa has a shim.
func bundle(t *testing.T, bootstrap any) string {
	t.Helper()
	state := t.TempDir()
	dir := filepath.Join(state, "io.containerd.runtime.v2.task", "pods", "aa")
	text, err := json.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bootstrap.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return state
}

// TestShimIsAsked: a process's whole life goes past containerd, and the
// connection is closed with the engine (TestMain looks for it).
func TestShimIsAsked(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	c := newContainerd()
	c.serve(t, socket)
	f, state, _ := startShim(t)
	e, ctx := dialState(t, socket, state), t.Context()
	if err := e.Exec(ctx, process, engine.Command{Args: []string{"x"}, Stdin: "/i", Stdout: "/o", Stderr: "/e", Terminal: true}); err != nil {
		t.Fatal(err)
	}
	if pid, err := e.Start(ctx, process); pid != 77 || err != nil {
		t.Errorf("pid %d, error %v", pid, err)
	}
	if err := e.Resize(ctx, process, 80, 25); err != nil {
		t.Error(err)
	}
	if err := e.CloseStdin(ctx, process); err != nil {
		t.Error(err)
	}
	close(f.exit)
	if code, err := e.Wait(ctx, process); code != 5 || err != nil {
		t.Errorf("code %d, error %v", code, err)
	}
	if err := e.Kill(ctx, process); err != nil { // has exited
		t.Error(err)
	}
	if err := e.Delete(ctx, process); err != nil {
		t.Error(err)
	}
	want := []string{"exec aa x /i /o /e true", "start aa x", "resize aa x 80x25", "close aa x true", "wait aa x", "kill aa x 9", "delete aa x"}
	if !slices.Equal(f.calls, want) || f.namespace != "pods" || len(c.execs) > 0 {
		t.Errorf("the shim got %q in namespace %q, containerd %v", f.calls, f.namespace, c.execs)
	}
	if err := e.Delete(ctx, process); err != nil { // once more: containerd says that there is none
		t.Error(err)
	}
	if len(f.calls) != len(want) {
		t.Error("the shim is still connected")
	}
}

// TestProcessesShareConnection: one of a container's serves all its processes,
// together and one after another, until nobody has used it for long.
func TestProcessesShareConnection(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	newContainerd().serve(t, socket)
	f, state, _ := startShim(t)
	e, ctx := dialState(t, socket, state), t.Context()
	exec := func(id string) engine.Process {
		t.Helper()
		p := engine.Process{Container: process.Container, ID: id}
		if err := e.Exec(ctx, p, engine.Command{Args: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		return p
	}
	remove := func(p engine.Process) {
		t.Helper()
		if err := e.Delete(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	one, two := exec("one"), exec("two")
	remove(one)
	remove(two)
	three := exec("three")
	e.Age(time.Hour) // it is in use
	e.Sweep()
	remove(three)
	remove(exec("four"))
	if n := f.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	e.Age(time.Hour)
	e.Sweep()
	remove(exec("five"))
	if n := f.accepted.Load(); n != 2 {
		t.Errorf("%d connections after a long pause", n)
	}
}

// TestShimDiesBelowExec: with a connection of the process before; containerd
// is asked.
func TestShimDiesBelowExec(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	c := newContainerd()
	c.serve(t, socket)
	f, state, kill := startShim(t)
	e := dialState(t, socket, state)
	if err := e.Exec(t.Context(), process, engine.Command{Args: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Delete(t.Context(), process); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- e.Exec(t.Context(), engine.Process{Container: process.Container, ID: doomed}, engine.Command{Args: []string{"x"}})
	}()
	<-f.waiting
	kill()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(c.execs) != 1 || f.accepted.Load() != 1 {
		t.Errorf("containerd got %d execs, the shim %d connections", len(c.execs), f.accepted.Load())
	}
}

// TestContainerdInsteadOfShim: whatever is unusual about the shim.
func TestContainerdInsteadOfShim(t *testing.T) {
	t.Parallel()
	for name, bootstrap := range map[string]any{
		"older":        map[string]any{"version": 2, "address": "unix:///s", "protocol": "ttrpc"},
		"gRPC":         map[string]any{"version": 3, "address": "unix:///s", "protocol": "grpc"},
		"vsock":        map[string]any{"version": 3, "address": "vsock://3:4", "protocol": "ttrpc"},
		"nobody there": map[string]any{"version": 3, "address": "unix:///does/not/exist", "protocol": "ttrpc"},
		"not JSON":     "an address",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := filepath.Join(t.TempDir(), "s")
			c := newContainerd()
			c.serve(t, socket)
			e := dialState(t, socket, bundle(t, bootstrap))
			if err := e.Exec(t.Context(), process, engine.Command{Args: []string{"x"}}); err != nil {
				t.Fatal(err)
			}
			if len(c.execs) != 1 {
				t.Error("containerd was not asked")
			}
		})
	}
}

// TestShimDies: containerd says what has become of the process.
func TestShimDies(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	c := newContainerd()
	c.serve(t, socket)
	f, state, kill := startShim(t)
	e := dialState(t, socket, state)
	if err := e.Exec(t.Context(), process, engine.Command{Args: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	code := make(chan uint32, 1)
	go func() { n, _ := e.Wait(t.Context(), process); code <- n }()
	<-f.waiting
	kill()
	close(c.exit)
	if got := <-code; got != 7 { // as containerd says
		t.Errorf("code %d", got)
	}
	if _, err := e.Start(t.Context(), process); err == nil || errdefs.IsUnavailable(err) {
		t.Errorf("containerd was not asked: %v", err)
	}
}

// TestCallsEndWithEngine: a wait for a shim does not outlive the engine.
func TestCallsEndWithEngine(t *testing.T) {
	t.Parallel()
	f, state, _ := startShim(t)
	socket := filepath.Join(t.TempDir(), "s")
	newContainerd().serve(t, socket)
	e := dialState(t, socket, state)
	if err := e.Exec(t.Context(), process, engine.Command{Args: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { _, err := e.Wait(ctx, process); done <- err }()
	<-f.waiting
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
}
