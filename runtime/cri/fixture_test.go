package cri_test

import (
	"context"
	"log/slog"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/podcheckpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is the CRI on a world of fakes.
type server struct {
	*containertest.World
	process     *containertest.Process
	sandboxes   *cri.Sandboxes
	containers  *cri.Containers
	streaming   *cri.Streaming
	checkpoints *cri.Checkpoints
	streamer    *streamer
	edits       []func(*container.Deps) // of each process
}

func newServer(t *testing.T) *server {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{World: w, streamer: &streamer{}}
	s.begin(t)
	t.Cleanup(func() {
		if err := s.process.Close(); err != nil {
			t.Errorf("end of the process: %v", err)
		}
	})
	return s
}

func (s *server) begin(t *testing.T) {
	t.Helper()
	p, err := s.Start(s.edits...)
	if err != nil {
		t.Fatal(err)
	}
	s.process = p
	s.sandboxes = cri.NewSandboxes(p.Pods, p.Containers)
	s.containers = cri.NewContainers(p.Pods, p.Containers, s.Containers)
	s.checkpoints = cri.NewCheckpoints(p.Containers, podcheckpoint.New(podcheckpoint.Deps{
		Pods: p.Pods, Containers: p.Containers, Status: cri.StatusOf, Journal: p.Containers.Journal(),
		Limit: podtest.Config().CreateTimeout.Std(), Log: slog.New(slog.DiscardHandler),
	}))
	s.streaming = cri.NewStreaming(p.Pods, p.Containers, s.streamer)
}

// restart ends the process and begins another.
func (s *server) restart(t *testing.T) {
	t.Helper()
	if err := s.process.Close(); err != nil {
		t.Fatal(err)
	}
	s.begin(t)
}

// must is the answer of a call that works.
func must[T any](t *testing.T) func(T, error) T {
	return func(answer T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

// pod runs one and returns its id.
func (s *server) pod(t *testing.T, cfg *runtimeapi.PodSandboxConfig) string {
	t.Helper()
	return must[*runtimeapi.RunPodSandboxResponse](t)(
		s.sandboxes.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: cfg})).GetPodSandboxId()
}

// create makes a container and returns its id.
func (s *server) create(t *testing.T, podID, name string) string {
	t.Helper()
	return must[*runtimeapi.CreateContainerResponse](t)(s.containers.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{
		PodSandboxId: podID, Config: containertest.Config(name), SandboxConfig: podtest.Sandbox("web"),
	})).GetContainerId()
}

// start makes a container, starts it and returns its id.
func (s *server) start(t *testing.T, podID, name string) string {
	t.Helper()
	id := s.create(t, podID, name)
	must[*runtimeapi.StartContainerResponse](t)(s.containers.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id}))
	return id
}

// streamer is a fake of the streamer's side. It keeps the last request.
type streamer struct {
	err  error
	last any
}

func (s *streamer) ReopenLog(_ context.Context, r *streamerv1.ReopenLogRequest, _ ...grpc.CallOption) (*streamerv1.ReopenLogResponse, error) {
	s.last = r
	return &streamerv1.ReopenLogResponse{}, s.err
}

func (s *streamer) ExecSync(_ context.Context, r *streamerv1.ExecSyncRequest, _ ...grpc.CallOption) (*streamerv1.ExecSyncResponse, error) {
	s.last = r
	return &streamerv1.ExecSyncResponse{Stdout: []byte("out"), Stderr: []byte("err"), ExitCode: 3}, s.err
}

func (s *streamer) PrepareExec(_ context.Context, r *streamerv1.PrepareExecRequest, _ ...grpc.CallOption) (*streamerv1.PrepareExecResponse, error) {
	s.last = r
	return &streamerv1.PrepareExecResponse{Url: "http://exec"}, s.err
}

func (s *streamer) PrepareAttach(_ context.Context, r *streamerv1.PrepareAttachRequest, _ ...grpc.CallOption) (*streamerv1.PrepareAttachResponse, error) {
	s.last = r
	return &streamerv1.PrepareAttachResponse{Url: "http://attach"}, s.err
}

func (s *streamer) PreparePortForward(_ context.Context, r *streamerv1.PreparePortForwardRequest, _ ...grpc.CallOption) (*streamerv1.PreparePortForwardResponse, error) {
	s.last = r
	return &streamerv1.PreparePortForwardResponse{Url: "http://forward"}, s.err
}
