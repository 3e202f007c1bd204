package activity_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/launcher/activity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a CRI with a verbose status.
type fake struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	info map[string]string
	hang chan struct{} // Status waits for it; nil for not at all
}

func (f *fake) Status(ctx context.Context, r *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	if f.hang != nil {
		select {
		case <-f.hang:
		case <-ctx.Done():
			return nil, ctx.Err() // may reach the client before its own deadline
		}
	}
	if !r.GetVerbose() {
		return &runtimeapi.StatusResponse{}, nil
	}
	return &runtimeapi.StatusResponse{Info: f.info}, nil
}

// listen returns a listener on a socket whose path is short enough.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "trivet-") //nolint:usetesting // a socket's path must fit in 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "cri.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener, socket
}

func serve(t *testing.T, f *fake) string {
	t.Helper()
	listener, socket := listen(t)
	server := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(server, f)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return socket
}

func TestAsk(t *testing.T) {
	t.Parallel()
	socket := serve(t, &fake{info: map[string]string{
		"operations": `[{"what":"young","stage":"begin","age":5},{"what":"old","stage":"network","age":90000000000}]`,
		"quarantine": `{"pods":{"b":"bad","a":"worse"},"containers":{"c":"gone"}}`,
		"network":    `{"ready":true,"attachments":3,"networks":[{"name":"cluster"},{"name":"storage"}],"config_error":"x"}`,
		"config":     `{"anything":"else"}`,
		"logs": `{"logs":[{"container":{"id":"c1","name":"web","pod_namespace":"ns","pod_name":"p"},"log_path":"/l","state":2,"since":{"seconds":5},"error":"full"},
			{"container":{"name":"a","pod_namespace":"ns","pod_name":"p"},"state":3,"dropped_bytes":4}],"dropped_bytes":9}`,
	}})
	got, err := activity.Ask(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	if want := []activity.Operation{{"old", "network", 90 * time.Second}, {"young", "begin", 5}}; !slices.Equal(got.Operations, want) {
		t.Errorf("operations are %v, want %v", got.Operations, want)
	}
	if want := []activity.Quarantined{{"containers", "c", "gone"}, {"pods", "a", "worse"}, {"pods", "b", "bad"}}; !slices.Equal(got.Quarantine, want) {
		t.Errorf("quarantine is %v, want %v", got.Quarantine, want)
	}
	n := got.Network
	if !n.Ready || n.Attachments != 3 || n.ConfigError != "x" || !slices.Equal(n.Networks, []string{"cluster", "storage"}) {
		t.Errorf("network is %+v", n)
	}
	logs := []activity.TroubledLog{{"a", "ns/p", "", "dropped", "", 4}, {"web", "ns/p", "/l", "held-back", "full", 0}}
	if !slices.Equal(got.Logs.Troubled, logs) || got.Logs.Dropped != 9 {
		t.Errorf("logs are %+v", got.Logs)
	}
}

func TestAskOtherRuntime(t *testing.T) {
	t.Parallel()
	if got, err := activity.Ask(t.Context(), serve(t, &fake{})); err != nil || len(got.Operations) > 0 {
		t.Errorf("without info: %v, %v", got, err)
	}
	_, err := activity.Ask(t.Context(), serve(t, &fake{info: map[string]string{"operations": "{"}}))
	if err == nil || !strings.Contains(err.Error(), "read operations") {
		t.Errorf("with broken info: %v", err)
	}
}

func TestAskWithoutAnswer(t *testing.T) {
	t.Parallel()
	_, nobody := listen(t) // accepts, as the launcher's socket does while runtime is away
	for name, test := range map[string]struct {
		socket string
		is     func(error) bool
	}{
		"hangs":        {serve(t, &fake{hang: make(chan struct{})}), errdefs.IsDeadlineExceeded},
		"not accepted": {nobody, errdefs.IsDeadlineExceeded},
		"not there":    {nobody + ".gone", errdefs.IsUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			begun := time.Now()
			_, err := activity.Ask(ctx, test.socket)
			if !test.is(err) || !strings.Contains(err.Error(), "does not answer on "+test.socket) {
				t.Errorf("error is %v", err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
