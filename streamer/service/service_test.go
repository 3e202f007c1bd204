package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/types/known/durationpb"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
	"github.com/trivet-cri/trivet/streamer/service"
	"github.com/trivet-cri/trivet/streamer/session"
)

// fake plays everything behind the service.
type fake struct {
	err   error
	drain time.Duration
	kept  []string
	// during is called while an ExecSync runs.
	during   func()
	infos    map[string]pump.Info
	troubles []pump.Trouble
	followed string
	older    []*streamerv1.Session
}

func (f *fake) Open(context.Context, *streamerv1.OpenIORequest) (*streamerv1.OpenIOResponse, error) {
	return &streamerv1.OpenIOResponse{Stdout: "/out"}, f.err
}

func (f *fake) Close(_ context.Context, _ string, drain time.Duration) (bool, error) {
	f.drain = drain
	return f.err == nil, f.err
}
func (f *fake) Reopen(context.Context, string) error { return f.err }

func (f *fake) Sweep(_ context.Context, keep []string, _ time.Time) ([]string, error) {
	f.kept = keep
	return []string{"ff"}, f.err
}

func (f *fake) Info(id string) (pump.Info, bool) { info, ok := f.infos[id]; return info, ok }
func (f *fake) Count() int                       { return len(f.infos) }

func (f *fake) Troubles() ([]pump.Trouble, uint64) { return f.troubles, 7 }

func (f *fake) Sync(context.Context, *streamerv1.ExecSyncRequest) (*streamerv1.ExecSyncResponse, error) {
	if f.during != nil {
		f.during()
	}
	return &streamerv1.ExecSyncResponse{ExitCode: 3}, f.err
}

func (f *fake) Check(*streamerv1.PreparePortForwardRequest) error { return f.err }

func (f *fake) URL(_ context.Context, kind session.Kind, request any) (string, error) {
	return fmt.Sprintf("%s %T", kind, request), f.err
}

func (f *fake) Follow(_ context.Context, r *streamerv1.FollowRequest, _ func(*streamerv1.FollowResponse) error) error {
	f.followed = r.GetTicket()
	return f.err
}

func (f *fake) CloseStdin(context.Context, string) error { return f.err }

func (f *fake) Do(context.Context, int) (*streamerv1.HandOverResponse, error) {
	return &streamerv1.HandOverResponse{Pumps: 2}, f.err
}

func (f *fake) Sessions(context.Context) []*streamerv1.Session { return f.older }

func newService() (*service.Service, *fake, *session.Set) {
	f := &fake{infos: map[string]pump.Info{"aa": {}, "bb": {TTY: true}}}
	sessions := session.NewSet()
	return service.New(f, f, f, f, sessions, service.Generations{HandOver: f, Draining: f}), f, sessions
}

func container(id string) *streamerv1.Container { return &streamerv1.Container{Id: id} }

// TestInvalidArguments: what is malformed goes no further, and is named.
func TestInvalidArguments(t *testing.T) {
	t.Parallel()
	s, _, _ := newService()
	ctx := t.Context()
	bad := container("../etc")
	for name, call := range map[string]func() (any, error){
		"container.id \"../etc\"": func() (any, error) { return s.OpenIO(ctx, &streamerv1.OpenIORequest{Container: bad}) },
		"container.id is empty":   func() (any, error) { return s.OpenIO(ctx, &streamerv1.OpenIORequest{}) },
		"log_path \"relative\"": func() (any, error) {
			return s.OpenIO(ctx, &streamerv1.OpenIORequest{Container: container("aa"), LogPath: "relative"})
		},
		"log_path \"/var/../etc\"": func() (any, error) {
			return s.OpenIO(ctx, &streamerv1.OpenIORequest{Container: container("aa"), LogPath: "/var/../etc"})
		},
		"container_id \"x/y\"": func() (any, error) { return s.CloseIO(ctx, &streamerv1.CloseIORequest{ContainerId: "x/y"}) },
		"drain_timeout -1s": func() (any, error) {
			return s.CloseIO(ctx, &streamerv1.CloseIORequest{ContainerId: "aa", DrainTimeout: durationpb.New(-time.Second)})
		},
		"container_id is empty": func() (any, error) { return s.ReopenLog(ctx, &streamerv1.ReopenLogRequest{}) },
		"container_ids[1]":      func() (any, error) { return s.Sweep(ctx, &streamerv1.SweepRequest{ContainerIds: []string{"aa", "?"}}) },
		"cmd is empty":          func() (any, error) { return s.ExecSync(ctx, &streamerv1.ExecSyncRequest{Container: container("aa")}) },
		"timeout -1s": func() (any, error) {
			return s.ExecSync(ctx, &streamerv1.ExecSyncRequest{Container: container("aa"), Cmd: []string{"x"}, Timeout: durationpb.New(-time.Second)})
		},
		"all false": func() (any, error) {
			return s.PrepareExec(ctx, &streamerv1.PrepareExecRequest{Container: container("aa"), Cmd: []string{"x"}})
		},
		"stderr is true": func() (any, error) {
			return s.PrepareExec(ctx, &streamerv1.PrepareExecRequest{Container: container("aa"), Cmd: []string{"x"}, Tty: true, Stderr: true})
		},
		"tty is true": func() (any, error) {
			return s.PrepareAttach(ctx, &streamerv1.PrepareAttachRequest{Container: container("aa"), Tty: true, Stdout: true})
		},
		"tty is false": func() (any, error) {
			return s.PrepareAttach(ctx, &streamerv1.PrepareAttachRequest{Container: container("bb"), Stdout: true})
		},
		"pod_id \"P\"": func() (any, error) {
			return s.PreparePortForward(ctx, &streamerv1.PreparePortForwardRequest{PodId: "P"})
		},
	} {
		if _, err := call(); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	s, f, _ := newService()
	ctx := t.Context()
	exec, err := s.PrepareExec(ctx, &streamerv1.PrepareExecRequest{Container: container("aa"), Cmd: []string{"x"}, Stdin: true})
	if err != nil || exec.GetUrl() != "exec *streamerv1.PrepareExecRequest" {
		t.Errorf("exec: %v, %v", exec, err)
	}
	attach, err := s.PrepareAttach(ctx, &streamerv1.PrepareAttachRequest{Container: container("bb"), Tty: true, Stdout: true})
	if err != nil || attach.GetUrl() != "attach *streamerv1.PrepareAttachRequest" {
		t.Errorf("attach: %v, %v", attach, err)
	}
	forward, err := s.PreparePortForward(ctx, &streamerv1.PreparePortForwardRequest{PodId: "aa"})
	if err != nil || forward.GetUrl() != "portforward *streamerv1.PreparePortForwardRequest" {
		t.Errorf("port-forward: %v, %v", forward, err)
	}
	if _, err := s.PrepareAttach(ctx, &streamerv1.PrepareAttachRequest{Container: container("cc"), Stdout: true}); !errdefs.IsNotFound(err) {
		t.Errorf("unknown container: %v", err)
	}
	f.err = errdefs.ErrResourceExhausted
	if _, err := s.PrepareExec(ctx, &streamerv1.PrepareExecRequest{Container: container("aa"), Cmd: []string{"x"}, Stdin: true}); !errdefs.IsResourceExhausted(err) {
		t.Errorf("too many: %v", err)
	}
}

func TestIO(t *testing.T) {
	t.Parallel()
	s, f, _ := newService()
	ctx := t.Context()
	if reply, err := s.OpenIO(ctx, &streamerv1.OpenIORequest{Container: container("aa"), LogPath: "/var/log/x"}); err != nil || reply.GetStdout() != "/out" {
		t.Errorf("open: %v, %v", reply, err)
	}
	closing := &streamerv1.CloseIORequest{ContainerId: "aa", DrainTimeout: durationpb.New(time.Second)}
	if reply, err := s.CloseIO(ctx, closing); err != nil || !reply.GetDrained() || f.drain != time.Second {
		t.Errorf("close: %v, %v, drain %v", reply, err, f.drain)
	}
	if reply, err := s.Sweep(ctx, &streamerv1.SweepRequest{ContainerIds: []string{"aa"}}); err != nil || !slices.Equal(f.kept, []string{"aa"}) || len(reply.GetRemoved()) != 1 {
		t.Errorf("sweep: %v, %v", reply, err)
	}
	if _, err := s.ReopenLog(ctx, &streamerv1.ReopenLogRequest{ContainerId: "aa"}); err != nil {
		t.Error(err)
	}
	f.err = fmt.Errorf("no such: %w", errdefs.ErrNotFound)
	if reply, err := s.CloseIO(ctx, closing); err != nil || !reply.GetDrained() {
		t.Errorf("close of what is unknown: %v, %v", reply, err)
	}
	if _, err := s.ReopenLog(ctx, &streamerv1.ReopenLogRequest{ContainerId: "aa"}); !errdefs.IsNotFound(err) {
		t.Errorf("reopen of what is unknown: %v", err)
	}
	f.err = errors.New("disk")
	if _, err := s.CloseIO(ctx, closing); !errors.Is(err, f.err) {
		t.Errorf("close: %v", err)
	}
	if _, err := s.Sweep(ctx, &streamerv1.SweepRequest{}); !errors.Is(err, f.err) {
		t.Errorf("sweep: %v", err)
	}
}

func TestListSessions(t *testing.T) {
	t.Parallel()
	s, f, sessions := newService()
	f.older = []*streamerv1.Session{{Kind: "exec", Draining: true}}
	_, opened, err := sessions.Begin(t.Context(), session.Info{
		Kind: session.Attach, Subject: &streamerv1.Container{Id: "aa", PodName: "web"}, Client: "10.0.0.1:5",
		Protocol: "websocket", Subprotocol: "v5.channel.k8s.io",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.End(nil)
	if _, err := io.WriteString(opened.Writer(io.Discard), "four"); err != nil {
		t.Fatal(err)
	}
	reply, err := s.ListSessions(t.Context(), &streamerv1.ListSessionsRequest{})
	if err != nil || len(reply.GetSessions()) != 2 || reply.GetPumps() != 2 {
		t.Fatalf("reply %v, error %v", reply, err)
	}
	if older, now := reply.GetSessions()[0], reply.GetSessions()[1]; !older.GetDraining() || now.GetDraining() {
		t.Errorf("sessions are %v", reply.GetSessions())
	}
	got := reply.GetSessions()[1]
	if got.GetBytesOut() != 4 || got.GetBytesIn() != 0 {
		t.Errorf("session is %v", got)
	}
	if got.GetSubject().GetPodName() != "web" || got.GetClient() != "10.0.0.1:5" || got.GetSubprotocol() != "v5.channel.k8s.io" {
		t.Errorf("session is %v", got)
	}
	if got.GetKind() != "attach" || got.GetTarget() != "aa" || got.GetProtocol() != "websocket" || time.Since(got.GetStartedAt().AsTime()) > time.Minute {
		t.Errorf("session is %v", got)
	}
}

// TestExecSyncIsListed: it counts as a session as long as it runs.
func TestExecSyncIsListed(t *testing.T) {
	t.Parallel()
	s, f, sessions := newService()
	var seen []session.Info
	f.during = func() { seen = sessions.List() }
	if _, err := s.ExecSync(t.Context(), &streamerv1.ExecSyncRequest{Container: container("aa"), Cmd: []string{"probe", "secret"}}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0].Kind != session.ExecSync || seen[0].Target() != "aa" || seen[0].Command != "probe" {
		t.Errorf("sessions were %+v", seen)
	}
	if left := sessions.List(); len(left) != 0 {
		t.Errorf("left are %+v", left)
	}
}

func TestListTroubledLogs(t *testing.T) {
	t.Parallel()
	s, f, _ := newService()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.troubles = []pump.Trouble{
		{Container: container("aa"), Path: "/a", State: streamerv1.TroubledLog_STATE_LIMITED},
		{Container: container("bb"), Path: "/b", State: streamerv1.TroubledLog_STATE_DROPPED, Since: since, Err: errors.New("disk"), Dropped: 3},
	}
	reply, err := s.ListTroubledLogs(t.Context(), &streamerv1.ListTroubledLogsRequest{})
	if err != nil || len(reply.GetLogs()) != 2 || reply.GetDroppedBytes() != 7 {
		t.Fatalf("reply %v, error %v", reply, err)
	}
	limited, dropped := reply.GetLogs()[0], reply.GetLogs()[1]
	if limited.GetSince() != nil || limited.GetError() != "" || limited.GetState() != streamerv1.TroubledLog_STATE_LIMITED {
		t.Errorf("limited: %v", limited)
	}
	if !dropped.GetSince().AsTime().Equal(since) || dropped.GetError() != "disk" || dropped.GetDroppedBytes() != 3 || dropped.GetContainer().GetId() != "bb" {
		t.Errorf("dropped: %v", dropped)
	}
}
