package cri_test

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestSandboxStatus(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := podtest.SharedPID("web")
	cfg.Annotations = map[string]string{"note": "x"}
	id := s.pod(t, cfg)
	get := func(verbose bool) *runtimeapi.PodSandboxStatusResponse {
		t.Helper()
		return must[*runtimeapi.PodSandboxStatusResponse](t)(
			s.sandboxes.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id[:12], Verbose: verbose}))
	}
	response := get(false)
	status := response.GetStatus()
	created := status.GetCreatedAt()
	want := &runtimeapi.PodSandboxStatus{
		Id: id, Metadata: cfg.GetMetadata(), State: runtimeapi.PodSandboxState_SANDBOX_READY, CreatedAt: created,
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: "10.88.0.2", AdditionalIps: []*runtimeapi.PodIP{{Ip: "fd00::2"}}},
		Linux:   &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{Options: cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()}},
		Labels:  cfg.GetLabels(), Annotations: cfg.GetAnnotations(),
	}
	if !proto.Equal(status, want) || created == 0 || len(response.GetInfo()) > 0 {
		t.Errorf("status\n%v\nwant\n%v", status, want)
	}
	var info struct {
		PID        int               `json:"pid"`
		CNI        map[string]any    `json:"cniResult"`
		Namespaces map[string]string `json:"namespaces"`
		Config     map[string]any    `json:"config"`
	}
	if err := json.Unmarshal([]byte(get(true).GetInfo()["info"]), &info); err != nil {
		t.Fatal(err)
	}
	if info.PID == 0 || info.CNI["cniVersion"] != "1.1.0" || info.Namespaces["Network"] == "" || info.Config["hostname"] != "web" {
		t.Errorf("info %+v", info)
	}
	must[*runtimeapi.StopPodSandboxResponse](t)(s.sandboxes.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: id}))
	if got := get(true).GetStatus().GetState(); got != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("stopped: %s", got)
	}
	host := podtest.Sandbox("host")
	host.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	id = s.pod(t, host)
	if network := get(true).GetStatus().GetNetwork(); network == nil || network.GetIp() != "" {
		t.Errorf("a pod in the host's network has %v", network)
	}
}

func TestListSandboxes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ids := make(map[string]string)
		for _, name := range []string{"first", "second", "third"} {
			ids[name] = s.pod(t, podtest.Sandbox(name))
			time.Sleep(time.Second)
		}
		must[*runtimeapi.StopPodSandboxResponse](t)(s.sandboxes.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: ids["first"]}))
		ready := &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY}
		notReady := &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY}
		for name, try := range map[string]struct {
			filter *runtimeapi.PodSandboxFilter
			want   []string
		}{
			"all":               {nil, []string{"third", "second", "first"}},
			"empty":             {&runtimeapi.PodSandboxFilter{}, []string{"third", "second", "first"}},
			"ready":             {&runtimeapi.PodSandboxFilter{State: ready}, []string{"third", "second"}},
			"not ready":         {&runtimeapi.PodSandboxFilter{State: notReady}, []string{"first"}},
			"id":                {&runtimeapi.PodSandboxFilter{Id: ids["second"]}, []string{"second"}},
			"start of id":       {&runtimeapi.PodSandboxFilter{Id: ids["second"][:20]}, []string{"second"}},
			"unknown id":        {&runtimeapi.PodSandboxFilter{Id: "xyz"}, nil},
			"label":             {&runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"app": "third"}}, []string{"third"}},
			"label without one": {&runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"none": ""}}, nil},
			"label and state":   {&runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{"app": "first"}, State: ready}, nil},
		} {
			response := must[*runtimeapi.ListPodSandboxResponse](t)(s.sandboxes.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{Filter: try.filter}))
			var got []string
			for _, item := range response.GetItems() {
				got = append(got, item.GetMetadata().GetName())
				if item.GetId() != ids[item.GetMetadata().GetName()] || item.GetLabels()["app"] == "" || item.GetCreatedAt() == 0 {
					t.Errorf("%s: %v", name, item)
				}
			}
			if !slices.Equal(got, try.want) {
				t.Errorf("%s: %v, want %v", name, got, try.want)
			}
		}
	})
}

// TestSandboxIsNotThere: for Stop and Remove that is no error, for others it
// is, and what cannot be an id is not there either; no id is one for all.
func TestSandboxIsNotThere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for id, kind := range map[string]func(error) bool{"0badcafe": errdefs.IsNotFound, "../x": errdefs.IsNotFound, "": errdefs.IsInvalidArgument} {
		_, stop := s.sandboxes.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
		_, remove := s.sandboxes.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
		_, status := s.sandboxes.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
		_, forward := s.streaming.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: id})
		_, create := s.containers.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: id})
		if !kind(status) || !kind(forward) || !kind(create) {
			t.Errorf("%q: status %v, forward %v, create %v", id, status, forward, create)
		}
		if id != "" && (stop != nil || remove != nil) || id == "" && (!kind(stop) || !kind(remove)) {
			t.Errorf("%q: stop %v, remove %v", id, stop, remove)
		}
	}
	if _, err := s.sandboxes.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("run of nothing: %v", err)
	}
}

// TestRemoveSandbox takes what runs in it along, and quarantined pods too.
func TestRemoveSandbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		id := s.pod(t, podtest.Sandbox("web"))
		s.start(t, id, "running")
		s.create(t, id, "created")
		s.Fail("Network.Detach", podtest.Before, 1)
		remove := func(id string) error {
			_, err := s.sandboxes.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
			return err
		}
		if err := remove(id); err == nil {
			t.Error("a failure is not told")
		}
		if err := remove(id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if left := s.Leftovers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		bad := s.pod(t, podtest.Sandbox("bad"))
		s.start(t, bad, "of-a-bad-pod")
		one, _ := s.Records.Get(bad)
		one.Err = podtest.ErrInjected
		s.Records.Put(bad, one)
		s.restart(t)
		s.Fail("Tasks.Delete", podtest.Before, 1)
		if err := remove(bad); err == nil || len(s.Records.IDs()) != 1 {
			t.Errorf("the pod goes before its container: %v, %v", err, s.Records.IDs())
		}
		if err := remove(bad); err != nil {
			t.Error(err)
		}
		if left := s.Leftovers(); len(left) > 0 {
			t.Errorf("left over of a quarantined one: %v", left)
		}
	})
}
