package cri_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestUpdateContainerResources(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.start(t, s.pod(t, podtest.Sandbox("web")), "app")
	request := &runtimeapi.UpdateContainerResourcesRequest{ContainerId: id, Linux: &runtimeapi.LinuxContainerResources{CpuShares: 512}}
	for range 2 { // asking again changes nothing
		must[*runtimeapi.UpdateContainerResourcesResponse](t)(s.containers.UpdateContainerResources(t.Context(), request))
	}
	for range 2 {
		status := must[*runtimeapi.ContainerStatusResponse](t)(
			s.containers.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id})).GetStatus()
		if got := status.GetResources().GetLinux().GetCpuShares(); got != 512 {
			t.Errorf("status tells %d shares", got)
		}
		s.restart(t)
	}
	for name, test := range map[string]struct {
		change func(*runtimeapi.UpdateContainerResourcesRequest)
		is     func(error) bool
		says   string
	}{
		"not there": {func(r *runtimeapi.UpdateContainerResourcesRequest) { r.ContainerId = "0123" }, errdefs.IsNotFound, "0123"},
		"windows": {func(r *runtimeapi.UpdateContainerResourcesRequest) {
			r.Windows = &runtimeapi.WindowsContainerResources{}
		}, errdefs.IsInvalidArgument, "windows"},
		"bad value": {func(r *runtimeapi.UpdateContainerResourcesRequest) { r.Linux.CpuPeriod = 7 }, errdefs.IsInvalidArgument, "linux.resources.cpu_period 7"},
		"no unified": {func(r *runtimeapi.UpdateContainerResourcesRequest) {
			r.Linux.Unified = map[string]string{"memory.high": "1"}
		}, errdefs.IsFailedPrecondition, "linux.resources.unified"},
	} {
		bad := &runtimeapi.UpdateContainerResourcesRequest{ContainerId: id, Linux: &runtimeapi.LinuxContainerResources{}}
		test.change(bad)
		if _, err := s.containers.UpdateContainerResources(t.Context(), bad); !test.is(err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUpdatePodSandboxResources(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.pod(t, podtest.Sandbox("web"))
	verbose := func() string {
		return must[*runtimeapi.PodSandboxStatusResponse](t)(s.sandboxes.PodSandboxStatus(t.Context(),
			&runtimeapi.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})).GetInfo()["info"]
	}
	if info := verbose(); strings.Contains(info, `"overhead"`) {
		t.Errorf("before: %s", info)
	}
	must[*runtimeapi.UpdatePodSandboxResourcesResponse](t)(s.sandboxes.UpdatePodSandboxResources(t.Context(),
		&runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: id, Overhead: &runtimeapi.LinuxContainerResources{CpuShares: 10}}))
	for range 2 {
		if info := verbose(); !strings.Contains(info, `"overhead":{"linux":{"cpu_shares":10}}`) || strings.Contains(info, `"resources"`) {
			t.Errorf("after: %s", info)
		}
		s.restart(t)
	}
	for name, test := range map[string]struct {
		request *runtimeapi.UpdatePodSandboxResourcesRequest
		is      func(error) bool
		says    string
	}{
		"not there": {&runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: "0123"}, errdefs.IsNotFound, "0123"},
		"bad value": {&runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: id, Resources: &runtimeapi.LinuxContainerResources{CpuQuota: -9}}, errdefs.IsInvalidArgument, "resources.cpu_quota -9"},
	} {
		if _, err := s.sandboxes.UpdatePodSandboxResources(t.Context(), test.request); !test.is(err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
