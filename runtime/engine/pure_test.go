package engine_test

import (
	"context"
	"testing"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/internal/config"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
)

// TestDeadline: calls get one unless they have, or may last.
func TestDeadline(t *testing.T) {
	t.Parallel()
	soon, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for name, try := range map[string]struct {
		ctx    context.Context
		method string
		want   time.Duration // 0 for none
	}{
		"without":       {t.Context(), "/containerd.services.tasks.v1.Tasks/Get", time.Minute},
		"the caller's":  {soon, "/containerd.services.tasks.v1.Tasks/Get", time.Hour},
		"transfer":      {t.Context(), "/containerd.services.transfer.v1.Transfer/Transfer", 0},
		"apply a layer": {t.Context(), "/containerd.services.diff.v1.Diff/Apply", 0},
		"a sandbox":     {t.Context(), "/containerd.services.sandbox.v1.Controller/Wait", 0},
	} {
		called := false
		err := engine.Deadline(time.Minute)(try.ctx, try.method, nil, nil, nil,
			func(ctx context.Context, method string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
				called = true
				at, has := ctx.Deadline()
				left := time.Until(at)
				if has != (try.want > 0) || has && (left > try.want || left < try.want-10*time.Second) || method != try.method {
					t.Errorf("%s: %s left, %v", name, left, has)
				}
				return errdefs.ErrNotFound
			})
		if !called || !errdefs.IsNotFound(err) {
			t.Errorf("%s: called %v, %v", name, called, err)
		}
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	in := &recordv1.Pod{RuntimeHandler: "runc", Ips: []string{"10.0.0.2"}, BootId: "b", Pause: true}
	packed, err := engine.Pack(in)
	if err != nil {
		t.Fatal(err)
	}
	out := &recordv1.Pod{}
	if err := engine.Decode(packed, out); err != nil || !proto.Equal(in, out) {
		t.Errorf("%v, %v", out, err)
	}
	if err := engine.Decode(nil, out); !errdefs.IsNotFound(err) {
		t.Errorf("of nothing: %v", err)
	}
	if err := engine.Decode(&anypb.Any{Value: []byte{0xff}}, out); err == nil {
		t.Error("garbage is a record")
	}
}

func TestReadSpec(t *testing.T) {
	t.Parallel()
	text := `{"process": {"user": {"uid": 1000, "gid": 5, "additionalGids": [7]}}, "linux": {"cgroupsPath": "/a/b", "mountLabel": "l"}}`
	var c engine.ContainerRecord
	if err := engine.ReadSpec(&c, &anypb.Any{Value: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	if c.User.UID != 1000 || c.User.GID != 5 || len(c.User.AdditionalGids) != 1 || c.CgroupsPath != "/a/b" || c.MountLabel != "l" {
		t.Errorf("record %+v", c)
	}
	for name, packed := range map[string]typeurl.Any{"none": nil, "garbage": &anypb.Any{Value: []byte("{")}, "empty": &anypb.Any{}} {
		if err := engine.ReadSpec(&engine.ContainerRecord{}, packed); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRuntimeOf(t *testing.T) {
	t.Parallel()
	handler := config.Handler{Type: "io.containerd.runc.v2", Options: config.Options{
		BinaryName: "crun", Root: "/r", SystemdCgroup: true, NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/s",
	}}
	runtime, err := engine.RuntimeOf(handler)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.Name != "io.containerd.runc.v2" || runtime.Options.GetTypeUrl() != "containerd.runc.v1.Options" {
		t.Errorf("%s with %s", runtime.Name, runtime.Options.GetTypeUrl())
	}
	options := &runcoptions.Options{}
	want := &runcoptions.Options{BinaryName: "crun", Root: "/r", SystemdCgroup: true, NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/s"}
	if err := proto.Unmarshal(runtime.Options.GetValue(), options); err != nil || !proto.Equal(options, want) {
		t.Errorf("%v, %v", options, err)
	}

	// Another shim gets what is configured for it, and no options of runc's.
	handler.Type = "io.containerd.kata.v2"
	if runtime, err = engine.RuntimeOf(handler); err != nil || runtime.Options != nil {
		t.Errorf("%v, %v", runtime, err)
	}
	handler.Options.ConfigBody = "level = 1\n"
	runtime, err = engine.RuntimeOf(handler)
	body := &runtimeoptions.Options{}
	if err != nil || proto.Unmarshal(runtime.Options.GetValue(), body) != nil || string(body.GetConfigBody()) != "level = 1\n" {
		t.Errorf("a configuration as text: %v, %v", body, err)
	}
	handler.Options.ConfigBody = ""
	handler.Options.ConfigPath, handler.Options.TypeURL = "/etc/kata.toml", "kata.Options"
	runtime, err = engine.RuntimeOf(handler)
	if err != nil || runtime.Options.GetTypeUrl() != "runtimeoptions.v1.Options" {
		t.Fatalf("%v, %v", runtime, err)
	}
	generic := &runtimeoptions.Options{}
	wanted := &runtimeoptions.Options{ConfigPath: "/etc/kata.toml", TypeUrl: "kata.Options"}
	if err := proto.Unmarshal(runtime.Options.GetValue(), generic); err != nil || !proto.Equal(generic, wanted) {
		t.Errorf("%v, %v", generic, err)
	}
}

func TestTaskEvents(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	for name, try := range map[string]struct {
		event any
		want  engine.TaskEvent
		ok    bool
	}{
		"exit": {
			&eventsapi.TaskExit{ContainerID: "c", ID: "c", Pid: 12, ExitStatus: 7, ExitedAt: timestamppb.New(at)},
			engine.TaskEvent{ContainerID: "c", PID: 12, ExitCode: 7, ExitedAt: at.UTC()},
			true,
		},
		"exec":  {&eventsapi.TaskExit{ContainerID: "c", ID: "exec-1", ExitStatus: 7}, engine.TaskEvent{}, false},
		"OOM":   {&eventsapi.TaskOOM{ContainerID: "c"}, engine.TaskEvent{ContainerID: "c", OOM: true}, true},
		"other": {&eventsapi.TaskStart{ContainerID: "c"}, engine.TaskEvent{}, false},
	} {
		packed, err := typeurl.MarshalAny(try.event)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := engine.EventOf(&events.Envelope{Event: packed})
		if ok != try.ok || got != try.want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
	if _, ok := engine.EventOf(&events.Envelope{Event: &anypb.Any{TypeUrl: "of.a.newer.containerd"}}); ok {
		t.Error("an unknown event is one of ours")
	}
}

func TestFeatures(t *testing.T) {
	t.Parallel()
	pack := func(url string, value []byte) *anypb.Any { return &anypb.Any{TypeUrl: url, Value: value} }
	const featuresURL = "types.containerd.io/opencontainers/runtime-spec/1/features/Features"
	info := func(features *anypb.Any) *anypb.Any {
		packed, err := typeurl.MarshalAnyToProto(&types.RuntimeInfo{Name: "x", Features: features})
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	got, err := engine.FeaturesOf("x", info(pack(featuresURL, []byte(`{"mountOptions":["rro"],"linux":{"namespaces":["user"]}}`))))
	if err != nil || len(got.MountOptions) != 1 || got.Linux == nil {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, extra := range map[string]*anypb.Any{
		"nothing": nil, "no features": info(nil), "features of another kind": info(pack("kata.Features", nil)),
		"no JSON": info(pack(featuresURL, []byte("{"))),
	} {
		if _, err := engine.FeaturesOf("x", extra); !errdefs.IsNotImplemented(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := engine.FeaturesOf("x", pack("containerd.types.Other", nil)); err == nil || errdefs.IsNotImplemented(err) {
		t.Errorf("no info: %v", err)
	}
}
