package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/trivet-cri/trivet/streamer/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// containerd plays the two services, on a real socket.
type containerd struct {
	mu        sync.Mutex
	reads     int
	execs     []*tasksapi.ExecProcessRequest
	namespace []string
	execErr   error
	state     tasktypes.Status // 0: no task
	waiting   chan struct{}    // closed when a Wait has come
	exit      chan struct{}    // closed when the process exits
}

const record = `{"process":{"args":["init"],"env":["A=1","TERM=dumb"],"cwd":"/work","user":{"uid":5,"gid":6,"additionalGids":[7,8]},
	"capabilities":{"bounding":["CAP_CHOWN"]},"rlimits":[{"type":"RLIMIT_NOFILE","hard":9,"soft":9}],"noNewPrivileges":true,
	"apparmorProfile":"profile","selinuxLabel":"label","oomScoreAdj":100,"commandLine":"init","consoleSize":{"width":1,"height":2}}}`

// containers and tasks keep the two services' methods apart.
type containers struct {
	containersapi.UnimplementedContainersServer
	*containerd
}

func (c containers) Get(_ context.Context, r *containersapi.GetContainerRequest) (*containersapi.GetContainerResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	text := map[string]string{"aa": record, "bad": "{", "empty": "{}"}[r.GetID()]
	if text == "" {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	return &containersapi.GetContainerResponse{Container: &containersapi.Container{ID: r.GetID(), Spec: &anypb.Any{Value: []byte(text)}}}, nil
}

type tasks struct {
	tasksapi.UnimplementedTasksServer
	*containerd
}

func (s tasks) Exec(ctx context.Context, r *tasksapi.ExecProcessRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.execs = append(s.execs, r)
	md, _ := metadata.FromIncomingContext(ctx)
	s.namespace = md.Get("containerd-namespace")
	return &emptypb.Empty{}, s.execErr
}

func (s tasks) Get(context.Context, *tasksapi.GetRequest) (*tasksapi.GetResponse, error) {
	if s.state == 0 {
		return nil, status.Error(codes.NotFound, "no such task")
	}
	return &tasksapi.GetResponse{Process: &tasktypes.Process{Status: s.state, Pid: 42}}, nil
}

func (s tasks) Wait(ctx context.Context, _ *tasksapi.WaitRequest) (*tasksapi.WaitResponse, error) {
	select {
	case s.waiting <- struct{}{}:
	default:
	}
	select {
	case <-s.exit:
		return &tasksapi.WaitResponse{ExitStatus: 7}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (s tasks) Kill(context.Context, *tasksapi.KillRequest) (*emptypb.Empty, error) {
	return nil, status.Error(codes.NotFound, "process already finished")
}

func (s tasks) DeleteProcess(context.Context, *tasksapi.DeleteProcessRequest) (*tasksapi.DeleteResponse, error) {
	return nil, status.Error(codes.NotFound, "no such process")
}

func (s tasks) ResizePty(_ context.Context, r *tasksapi.ResizePtyRequest) (*emptypb.Empty, error) {
	if r.GetWidth() != 80 || r.GetHeight() != 25 {
		return nil, status.Error(codes.InvalidArgument, "size")
	}
	return &emptypb.Empty{}, nil
}

func (s tasks) CloseIO(_ context.Context, r *tasksapi.CloseIORequest) (*emptypb.Empty, error) {
	if !r.GetStdin() {
		return nil, status.Error(codes.InvalidArgument, "stdin")
	}
	return &emptypb.Empty{}, nil
}

func newContainerd() *containerd {
	return &containerd{state: tasktypes.Status_RUNNING, waiting: make(chan struct{}, 1), exit: make(chan struct{})}
}

// serve serves on socket and returns how to stop.
func (c *containerd) serve(t *testing.T, socket string) func() {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	containersapi.RegisterContainersServer(server, containers{containerd: c})
	tasksapi.RegisterTasksServer(server, tasks{containerd: c})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	stop := sync.OnceFunc(func() { server.Stop(); <-done })
	t.Cleanup(stop)
	return stop
}

func start(t *testing.T) (*engine.Engine, *containerd, string, func()) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	c := newContainerd()
	stop := c.serve(t, socket)
	return dial(t, socket), c, socket, stop
}

func dial(t *testing.T, socket string) *engine.Engine {
	t.Helper()
	return dialState(t, socket, t.TempDir())
}

func dialState(t *testing.T, socket, state string) *engine.Engine {
	t.Helper()
	e, err := engine.New(socket, state, "pods", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

var process = engine.Process{Container: "aa", ID: "x"}

// TestProcessInheritsFromContainer: all but the arguments and the terminal.
func TestProcessInheritsFromContainer(t *testing.T) {
	t.Parallel()
	e, c, _, _ := start(t)
	for _, terminal := range []bool{false, true, false} {
		if err := e.Exec(t.Context(), process, engine.Command{Args: []string{"sh", "-c"}, Terminal: terminal, Stdout: "/o"}); err != nil {
			t.Fatal(err)
		}
	}
	if c.reads != 1 {
		t.Errorf("the record was read %d times", c.reads)
	}
	if !slices.Equal(c.namespace, []string{"pods"}) {
		t.Errorf("namespace is %v", c.namespace)
	}
	for i, env := range []string{"A=1 TERM=dumb", "A=1 TERM=xterm", "A=1 TERM=dumb"} {
		got, want := new(specs.Process), new(struct{ Process specs.Process })
		if err := json.Unmarshal(c.execs[i].GetSpec().GetValue(), got); err != nil {
			t.Fatal(err)
		}
		_ = json.Unmarshal([]byte(record), want)
		want.Process.Args, want.Process.CommandLine, want.Process.ConsoleSize = []string{"sh", "-c"}, "", nil
		want.Process.Terminal, want.Process.Env = i == 1, strings.Fields(env)
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want.Process)
		if string(a) != string(b) {
			t.Errorf("process %d is\n%s\nwant\n%s", i, a, b)
		}
		if r := c.execs[i]; r.GetTerminal() != (i == 1) || r.GetStdout() != "/o" || !strings.HasSuffix(r.GetSpec().GetTypeUrl(), "runtime-spec/1/Process") {
			t.Errorf("request is %v", r)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		container string
		state     tasktypes.Status
		err       error
		is        func(error) bool
		says      string
	}{
		{"no container", "none", 0, nil, errdefs.IsNotFound, `container "none"`},
		{"no task", "aa", 0, status.Error(codes.NotFound, "no task"), errdefs.IsFailedPrecondition, `container "aa" is not running`},
		{"stopped", "aa", tasktypes.Status_STOPPED, status.Error(codes.Unknown, "cannot"), errdefs.IsFailedPrecondition, "stopped"},
		{"paused", "aa", tasktypes.Status_PAUSED, status.Error(codes.Unknown, "cannot"), errdefs.IsFailedPrecondition, "paused"},
		{"created", "aa", tasktypes.Status_CREATED, status.Error(codes.Unknown, "cannot"), errdefs.IsFailedPrecondition, "created"},
		{"broken record", "bad", 0, nil, func(err error) bool { return err != nil }, "OCI spec"},
		{"empty record", "empty", 0, nil, errdefs.IsFailedPrecondition, "no process"},
		{"runtime's own", "aa", tasktypes.Status_RUNNING, status.Error(codes.Unknown, "OCI runtime exec failed"), errdefs.IsUnknown, "OCI runtime exec failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e, c, _, _ := start(t)
			c.state, c.execErr = test.state, test.err
			err := e.Exec(t.Context(), engine.Process{Container: test.container, ID: "x"}, engine.Command{Args: []string{"x"}})
			if !test.is(err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestReleasingNothingIsNoError(t *testing.T) {
	t.Parallel()
	e, _, _, _ := start(t)
	if err := e.Kill(t.Context(), process); err != nil {
		t.Error(err)
	}
	if err := e.Delete(t.Context(), process); err != nil {
		t.Error(err)
	}
	if err := e.Resize(t.Context(), process, 80, 25); err != nil {
		t.Error(err)
	}
	if pid, err := e.Pid(t.Context(), process); pid != 42 || err != nil {
		t.Errorf("pid %d, %v", pid, err)
	}
}

// TestWithoutContainerd: no waiting, a clear error, and all is well once it
// is there.
func TestWithoutContainerd(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	e := dial(t, socket)
	err := e.Exec(t.Context(), process, engine.Command{Args: []string{"x"}})
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), socket) {
		t.Errorf("error is %v", err)
	}
	newContainerd().serve(t, socket)
	for err != nil {
		if err = e.Exec(t.Context(), process, engine.Command{Args: []string{"x"}}); err != nil && !errdefs.IsUnavailable(err) {
			t.Fatal(err)
		}
	}
}

// TestWaitSurvivesRestart: containerd is restarted while a process runs.
func TestWaitSurvivesRestart(t *testing.T) {
	t.Parallel()
	e, c, socket, stop := start(t)
	type result struct {
		code uint32
		err  error
	}
	done := make(chan result, 1)
	go func() {
		code, err := e.Wait(t.Context(), process)
		done <- result{code, err}
	}()
	<-c.waiting
	stop()
	next := newContainerd()
	close(next.exit)
	next.serve(t, socket)
	if r := <-done; r.code != 7 || r.err != nil {
		t.Errorf("code %d, error %v", r.code, r.err)
	}
}

// TestCallsSurviveRestart: containerd is away when input ends and a terminal is
// resized.
func TestCallsSurviveRestart(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *engine.Engine) error{
		"close stdin": func(ctx context.Context, e *engine.Engine) error { return e.CloseStdin(ctx, process) },
		"resize":      func(ctx context.Context, e *engine.Engine) error { return e.Resize(ctx, process, 80, 25) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _, socket, stop := start(t)
			stop()
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := call(short, e); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it does not wait: %v", err)
			}
			done := make(chan error, 1)
			go func() { done <- call(t.Context(), e) }()
			newContainerd().serve(t, socket)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	e, c, _, stop := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := e.Wait(ctx, process); done <- err }()
	<-c.waiting
	stop() // and containerd is away, too
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
}
