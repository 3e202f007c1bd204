package cri_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/handler"
	"github.com/trivet-cri/trivet/runtime/operation"
	ocispec "github.com/trivet-cri/trivet/runtime/spec"
)

// netsync is a fake cri.Network.
type netsync struct {
	status *netsyncv1.WatchStatusResponse
	cidrs  []string
	calls  int
	err    error
}

func (n *netsync) Status() *netsyncv1.WatchStatusResponse { return n.status }

func (n *netsync) SetPodCIDR(_ context.Context, cidrs []string) error {
	n.cidrs = cidrs
	n.calls++
	return n.err
}

// logs is a fake cri.Logs.
type logs struct{ bad bool }

func (l logs) Status() *streamerv1.ListTroubledLogsResponse {
	reply := &streamerv1.ListTroubledLogsResponse{}
	if l.bad {
		reply.Logs = []*streamerv1.TroubledLog{{LogPath: "/x.log"}}
	}
	return reply
}

func (l logs) Condition() *runtimeapi.RuntimeCondition {
	return &runtimeapi.RuntimeCondition{Type: "Logs", Status: !l.bad}
}

// TestLogsInTrouble are a condition, and listed in the verbose status.
func TestLogsInTrouble(t *testing.T) {
	t.Parallel()
	n, _ := newNode(func(d *cri.NodeDeps) { d.Logs = logs{bad: true} })
	got := must[*runtimeapi.StatusResponse](t)(n.Status(t.Context(), &runtimeapi.StatusRequest{Verbose: true}))
	if c := got.GetStatus().GetConditions()[2]; c.GetType() != "Logs" || c.GetStatus() {
		t.Errorf("condition is %v", c)
	}
	if text := got.GetInfo()["logs"]; !strings.Contains(text, `"log_path":"/x.log"`) {
		t.Errorf("verbose status has %s", text)
	}
}

// overview is a fake cri.Overview.
type overview struct {
	running    []operation.Status
	quarantine map[string]error
}

func (o overview) Running() []operation.Status  { return o.running }
func (o overview) Quarantine() map[string]error { return o.quarantine }

func newNode(edits ...func(*cri.NodeDeps)) (*cri.Node, *netsync) {
	peer := &netsync{status: &netsyncv1.WatchStatusResponse{Ready: true}}
	deps := cri.NodeDeps{
		Config: config.Default(), RuntimeError: func() error { return nil }, Network: peer, Logs: logs{},
		Handlers: func() map[string]handler.Report { return nil },
	}
	for _, edit := range edits {
		edit(&deps)
	}
	return cri.NewNode(deps), peer
}

func TestVersion(t *testing.T) {
	t.Parallel()
	n, _ := newNode()
	got := must[*runtimeapi.VersionResponse](t)(n.Version(t.Context(), nil))
	if got.GetVersion() != "0.1.0" || got.GetRuntimeName() != "trivet" || got.GetRuntimeVersion() == "" || got.GetRuntimeApiVersion() != "v1" {
		t.Errorf("got %v", got)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	type condition = runtimeapi.RuntimeCondition
	for name, try := range map[string]struct {
		containerd error
		network    *netsyncv1.WatchStatusResponse
		runtime    *condition
		net        *condition
	}{
		"good": {nil, &netsyncv1.WatchStatusResponse{Ready: true}, &condition{Status: true}, &condition{Status: true}},
		"no containerd": {
			errors.New("socket /x: refused"), &netsyncv1.WatchStatusResponse{Ready: true},
			&condition{Reason: "ContainerdUnavailable", Message: "socket /x: refused"}, &condition{Status: true},
		},
		"no network": {
			nil, &netsyncv1.WatchStatusResponse{Reason: "NoNetwork", Message: "none in /etc/cni"},
			&condition{Status: true}, &condition{Reason: "NoNetwork", Message: "none in /etc/cni"},
		},
		"older network": {
			nil, &netsyncv1.WatchStatusResponse{Ready: true, ConfigError: "b.conf: bad"},
			&condition{Status: true}, &condition{Status: true, Message: "an older configuration is in use: b.conf: bad"},
		},
		"no network and an error": {
			nil, &netsyncv1.WatchStatusResponse{Reason: "NoNetwork", Message: "none", ConfigError: "b.conf: bad"},
			&condition{Status: true}, &condition{Reason: "NoNetwork", Message: "none"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, peer := newNode(func(d *cri.NodeDeps) { d.RuntimeError = func() error { return try.containerd } })
			peer.status = try.network
			try.runtime.Type, try.net.Type = runtimeapi.RuntimeReady, runtimeapi.NetworkReady
			got := must[*runtimeapi.StatusResponse](t)(n.Status(t.Context(), &runtimeapi.StatusRequest{}))
			conditions := got.GetStatus().GetConditions()
			if len(conditions) != 3 || !proto.Equal(conditions[0], try.runtime) || !proto.Equal(conditions[1], try.net) || len(got.GetInfo()) > 0 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestStatusFeatures(t *testing.T) {
	t.Parallel()
	reports := map[string]handler.Report{
		"runc": {Features: ocispec.Features{RecursiveReadOnly: true}, Source: handler.FromRuntime},
		"a":    {Features: ocispec.Features{UserNamespaces: true}},
	}
	n, _ := newNode(func(d *cri.NodeDeps) {
		d.Handlers = func() map[string]handler.Report { return reports }
		d.UserNamespacesHostNetwork = true
		d.Config.Runtime.Handlers["a"] = config.Handler{}
		d.Config.Runtime.Handlers["not asked yet"] = config.Handler{}
	})
	got := must[*runtimeapi.StatusResponse](t)(n.Status(t.Context(), &runtimeapi.StatusRequest{Verbose: true}))
	want := []*runtimeapi.RuntimeHandler{
		{Name: "", Features: &runtimeapi.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true}},
		{Name: "a", Features: &runtimeapi.RuntimeHandlerFeatures{UserNamespaces: true}},
		{Name: "not asked yet"},
		{Name: "runc", Features: &runtimeapi.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true}},
	}
	if !slices.EqualFunc(got.GetRuntimeHandlers(), want, func(a, b *runtimeapi.RuntimeHandler) bool { return proto.Equal(a, b) }) {
		t.Errorf("got %v", got.GetRuntimeHandlers())
	}
	if f := got.GetFeatures(); !f.GetSupplementalGroupsPolicy() || !f.GetMountOptions() || !f.GetUserNamespacesHostNetwork() {
		t.Errorf("got %v", f)
	}
	if text := got.GetInfo()["handlers"]; !strings.Contains(text, `"runc":`) || !strings.Contains(text, `"source":"runtime"`) {
		t.Errorf("verbose status tells %s", text)
	}
}

func TestVerboseStatus(t *testing.T) {
	t.Parallel()
	n, peer := newNode(func(d *cri.NodeDeps) {
		d.Overviews = map[string]cri.Overview{
			"pods":       overview{[]operation.Status{{What: "run pod a", Stage: "network", Age: time.Second}}, nil},
			"containers": overview{nil, map[string]error{"0bad": errors.New("cannot be read")}},
		}
	})
	peer.status.Networks = []*netsyncv1.Network{{Name: "bridge"}}
	info := must[*runtimeapi.StatusResponse](t)(n.Status(t.Context(), &runtimeapi.StatusRequest{Verbose: true})).GetInfo()
	for key, want := range map[string]string{
		"operations": `[{"what":"run pod a","stage":"network","age":1000000000}]`,
		"quarantine": `{"containers":{"0bad":"cannot be read"}}`,
	} {
		if info[key] != want {
			t.Errorf("%s: %s, want %s", key, info[key], want)
		}
	}
	if !strings.Contains(info["network"], "bridge") || !json.Valid([]byte(info["config"])) {
		t.Errorf("info %v", info)
	}
	empty, _ := newNode()
	info = must[*runtimeapi.StatusResponse](t)(empty.Status(t.Context(), &runtimeapi.StatusRequest{Verbose: true})).GetInfo()
	if info["operations"] != "[]" || info["quarantine"] != "{}" {
		t.Errorf("of nothing: %v", info)
	}
}

func TestRuntimeConfig(t *testing.T) {
	t.Parallel()
	for driver, want := range map[string]runtimeapi.CgroupDriver{
		"": runtimeapi.CgroupDriver_CGROUPFS, "cgroupfs": runtimeapi.CgroupDriver_CGROUPFS, "systemd": runtimeapi.CgroupDriver_SYSTEMD,
	} {
		n, _ := newNode(func(d *cri.NodeDeps) { d.Config.Runtime.CgroupDriver = driver })
		got := must[*runtimeapi.RuntimeConfigResponse](t)(n.RuntimeConfig(t.Context(), nil))
		if got.GetLinux().GetCgroupDriver() != want {
			t.Errorf("%q: %v", driver, got)
		}
	}
}

func TestUpdateRuntimeConfig(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                             nil,
		"10.1.0.0/24":                  {"10.1.0.0/24"},
		"10.1.0.0/24,fd00::/64":        {"10.1.0.0/24", "fd00::/64"},
		" 10.1.0.0/24 , \tfd00::/64\n": {"10.1.0.0/24", "fd00::/64"},
	} {
		n, peer := newNode()
		request := &runtimeapi.UpdateRuntimeConfigRequest{RuntimeConfig: &runtimeapi.RuntimeConfig{NetworkConfig: &runtimeapi.NetworkConfig{PodCidr: text}}}
		if _, err := n.UpdateRuntimeConfig(t.Context(), request); err != nil || !slices.Equal(peer.cidrs, want) || (peer.calls == 0) != (want == nil) {
			t.Errorf("%q: %q, %v", text, peer.cidrs, err)
		}
		peer.err = errors.New("no CIDR")
		if _, err := n.UpdateRuntimeConfig(t.Context(), request); (err == nil) != (want == nil) {
			t.Errorf("%q: the error is lost", text)
		}
	}
	n, _ := newNode()
	if _, err := n.UpdateRuntimeConfig(t.Context(), &runtimeapi.UpdateRuntimeConfigRequest{}); err != nil {
		t.Error(err)
	}
}

// registrar collects what is registered.
type registrar map[string]any

func (r registrar) RegisterService(desc *grpc.ServiceDesc, impl any) { r[desc.ServiceName] = impl }

// TestRegister: what the nouns do not have is Unimplemented, and not a crash.
func TestRegister(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	n, _ := newNode()
	all := make(registrar)
	cri.Register(all, n, s.sandboxes, s.containers, s.streaming, s.checkpoints, nil, nil)
	service, ok := all["runtime.v1.RuntimeService"].(runtimeapi.RuntimeServiceServer)
	if _, images := all["runtime.v1.ImageService"].(runtimeapi.ImageServiceServer); !ok || !images {
		t.Fatalf("registered %v", all)
	}
	if _, err := service.Version(t.Context(), &runtimeapi.VersionRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := service.ListMetricDescriptors(t.Context(), &runtimeapi.ListMetricDescriptorsRequest{}); err == nil || !strings.Contains(err.Error(), "Unimplemented") {
		t.Errorf("got %v", err)
	}
}
