package cri_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/stats"
)

func TestContainerStats(t *testing.T) {
	t.Parallel()
	s, k := newServer(t), newKernel()
	pod := s.pod(t, podtest.Sandbox("web"))
	id := s.start(t, pod, "server")
	k.cgroups["/kubepods/pod-web/"+id] = uses(10)
	k.layers[id] = image.SnapshotUsage{Bytes: 11, Inodes: 12, Time: time.Unix(900, 0)}
	get := func() *runtimeapi.ContainerStats {
		return must[*runtimeapi.ContainerStatsResponse](t)(
			s.stats(k).ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: id[:12]})).GetStats()
	}
	at := time.Unix(1000, 0).UnixNano()
	n := func(n uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: n} }
	want := &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{
			Id: id, Metadata: &runtimeapi.ContainerMetadata{Name: "server"}, Labels: map[string]string{"tier": "server"},
		},
		Cpu: &runtimeapi.CpuUsage{
			Timestamp: at, UsageCoreNanoSeconds: n(10),
			Psi: &runtimeapi.PsiStats{Some: &runtimeapi.PsiData{Avg10: 1, Avg60: 2, Avg300: 3, Total: 4}},
		},
		Memory: &runtimeapi.MemoryUsage{
			Timestamp: at, UsageBytes: n(20), WorkingSetBytes: n(30), RssBytes: n(40), AvailableBytes: n(50), PageFaults: n(70), MajorPageFaults: n(80),
		},
		Swap: &runtimeapi.SwapUsage{Timestamp: at, SwapUsageBytes: n(90)},
		Io:   &runtimeapi.IoUsage{Timestamp: at, Psi: &runtimeapi.PsiStats{Full: &runtimeapi.PsiData{Total: 10}}},
		WritableLayer: &runtimeapi.FilesystemUsage{
			Timestamp: time.Unix(900, 0).UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: "/containerd/overlayfs"},
			UsedBytes: n(11), InodesUsed: n(12),
		},
	}
	if got := get(); !proto.Equal(got, want) {
		t.Errorf("stats\n%v\nwant\n%v", got, want)
	}
	later := uses(10)
	later.Time, later.CPU = time.Unix(1010, 0), &stats.CPU{Total: 5e9 + 10}
	k.cgroups["/kubepods/pod-web/"+id] = later
	if got := get().GetCpu().GetUsageNanoCores().GetValue(); got != 5e8 {
		t.Errorf("ten seconds later: %d nanocores", got)
	}
	for asked, is := range map[string]func(error) bool{
		"nobody": errdefs.IsNotFound, "": errdefs.IsInvalidArgument, s.create(t, pod, "idle"): errdefs.IsFailedPrecondition,
	} {
		if _, err := s.stats(k).ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: asked}); !is(err) {
			t.Errorf("container %q: %v", asked, err)
		}
	}
}

func TestListContainerStats(t *testing.T) {
	t.Parallel()
	s, k := newServer(t), newKernel()
	web, shop := s.pod(t, podtest.Sandbox("web")), s.pod(t, podtest.Sandbox("shop"))
	running, idle, bad, gone := s.start(t, web, "server"), s.create(t, web, "idle"), s.start(t, web, "bad"), s.start(t, shop, "server")
	k.cgroups["/kubepods/pod-web/"+running] = uses(1)
	k.cgroups["/kubepods/pod-web/"+idle] = uses(1) // nobody's: it does not run
	k.cgroups["/kubepods/pod-web/"+bad] = stats.Usage{Time: time.Unix(1, 0), CPU: &stats.CPU{Total: 3}}
	k.broken["/kubepods/pod-web/"+bad] = errors.New("memory.stat is nonsense")
	list := func(filter *runtimeapi.ContainerStatsFilter) (ids []string, all map[string]*runtimeapi.ContainerStats) {
		t.Helper()
		all = make(map[string]*runtimeapi.ContainerStats)
		for _, one := range must[*runtimeapi.ListContainerStatsResponse](t)(
			s.stats(k).ListContainerStats(t.Context(), &runtimeapi.ListContainerStatsRequest{Filter: filter})).GetStats() {
			id := one.GetAttributes().GetId()
			ids, all[id] = append(ids, id), one
		}
		return ids, all
	}
	ids, all := list(nil)
	if want := []string{gone, bad, idle, running}; !slices.Equal(ids, want) {
		t.Errorf("listed %v, want %v, newest first", ids, want)
	}
	if one := all[running]; one.GetCpu() == nil || one.GetMemory() == nil || one.GetWritableLayer().GetTimestamp() != 0 {
		t.Errorf("running: %v", one)
	}
	for _, id := range []string{idle, gone} {
		if one := all[id]; one.GetCpu() != nil || one.GetMemory() != nil || one.GetWritableLayer().GetUsedBytes() == nil || one.GetAttributes() == nil {
			t.Errorf("without a cgroup: %v", one)
		}
	}
	if one := all[bad]; one.GetCpu() == nil || one.GetMemory() != nil {
		t.Errorf("with a broken cgroup: %v", one)
	}
	if text := k.log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "memory.stat is nonsense") || !strings.Contains(text, bad) {
		t.Errorf("log has %q", text)
	}
	for _, test := range []struct {
		filter *runtimeapi.ContainerStatsFilter
		want   []string
	}{
		{&runtimeapi.ContainerStatsFilter{Id: idle}, []string{idle}},
		{&runtimeapi.ContainerStatsFilter{Id: idle[:20]}, []string{idle}},
		{&runtimeapi.ContainerStatsFilter{PodSandboxId: shop[:20]}, []string{gone}},
		{&runtimeapi.ContainerStatsFilter{LabelSelector: map[string]string{"tier": "server"}}, []string{gone, running}},
		{&runtimeapi.ContainerStatsFilter{PodSandboxId: web, LabelSelector: map[string]string{"tier": "server"}}, []string{running}},
		{&runtimeapi.ContainerStatsFilter{Id: running, PodSandboxId: shop}, nil},
		{&runtimeapi.ContainerStatsFilter{LabelSelector: map[string]string{"none": ""}}, nil},
	} {
		if got, _ := list(test.filter); !slices.Equal(got, test.want) {
			t.Errorf("filter %v gives %v, want %v", test.filter, got, test.want)
		}
	}
}

func TestPodSandboxStats(t *testing.T) {
	t.Parallel()
	s, k := newServer(t), newKernel()
	host := podtest.Sandbox("host")
	host.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	host.Linux.CgroupParent = ""
	web, node := s.pod(t, podtest.Sandbox("web")), s.pod(t, host)
	one, two := s.start(t, node, "one"), s.start(t, node, "two")
	server := s.start(t, web, "server")
	k.cgroups["/kubepods/pod-web"], k.cgroups["/kubepods/pod-web/"+server] = uses(100), uses(10)
	k.cgroups["/trivet/"+one], k.cgroups["/trivet/"+two] = uses(1), uses(2)
	k.networks[web] = []stats.Interface{{Name: "net1", RxBytes: 1}, {Name: "eth0", RxBytes: 2, RxErrors: 3, TxBytes: 4, TxErrors: 5}}
	get := func(id string) *runtimeapi.PodSandboxStats {
		t.Helper()
		return must[*runtimeapi.PodSandboxStatsResponse](t)(
			s.stats(k).PodSandboxStats(t.Context(), &runtimeapi.PodSandboxStatsRequest{PodSandboxId: id})).GetStats()
	}
	got := get(web[:12])
	if got.GetAttributes().GetId() != web || got.GetAttributes().GetMetadata().GetName() != "web" || got.GetAttributes().GetLabels()["app"] != "web" {
		t.Errorf("attributes %v", got.GetAttributes())
	}
	linux := got.GetLinux()
	if linux.GetCpu().GetUsageCoreNanoSeconds().GetValue() != 100 || linux.GetMemory().GetUsageBytes().GetValue() != 200 ||
		linux.GetProcess().GetProcessCount().GetValue() != 600 || linux.GetProcess().GetTimestamp() == 0 || linux.GetIo().GetPsi().GetFull().GetTotal() != 100 {
		t.Errorf("the pod's own cgroup: %v", linux)
	}
	if all := linux.GetContainers(); len(all) != 1 || all[0].GetAttributes().GetId() != server || all[0].GetCpu().GetUsageCoreNanoSeconds().GetValue() != 10 {
		t.Errorf("containers %v", all)
	}
	network := linux.GetNetwork()
	if d := network.GetDefaultInterface(); d.GetName() != "eth0" || d.GetRxBytes().GetValue() != 2 || d.GetRxErrors().GetValue() != 3 ||
		d.GetTxBytes().GetValue() != 4 || d.GetTxErrors().GetValue() != 5 || network.GetTimestamp() == 0 {
		t.Errorf("default interface %v", d)
	}
	if others := network.GetInterfaces(); len(others) != 1 || others[0].GetName() != "net1" {
		t.Errorf("other interfaces %v", others)
	}
	linux = get(node).GetLinux()
	if linux.GetCpu().GetUsageCoreNanoSeconds().GetValue() != 3 || linux.GetMemory().GetWorkingSetBytes().GetValue() != 9 ||
		linux.GetProcess().GetProcessCount().GetValue() != 18 || linux.GetNetwork() != nil || len(linux.GetContainers()) != 2 {
		t.Errorf("a pod without a cgroup or a network of its own: %v", linux)
	}
	k.networks[web] = []stats.Interface{{Name: "net1"}, {Name: "net2"}}
	if d := get(web).GetLinux().GetNetwork().GetDefaultInterface(); d.GetName() != "net1" {
		t.Errorf("without eth0 the default interface is %v", d)
	}
	k.networks[web] = nil
	if network := get(web).GetLinux().GetNetwork(); network != nil {
		t.Errorf("without interfaces the network is %v", network)
	}
}

func TestListPodSandboxStats(t *testing.T) {
	t.Parallel()
	s, k := newServer(t), newKernel()
	web, shop, stopped := s.pod(t, podtest.Sandbox("web")), s.pod(t, podtest.Sandbox("shop")), s.pod(t, podtest.Sandbox("stopped"))
	server := s.start(t, shop, "server")
	k.cgroups["/kubepods/pod-web"], k.cgroups["/kubepods/pod-shop"] = uses(1), uses(2)
	k.broken["/kubepods/pod-shop"] = errors.New("broken")
	must[*runtimeapi.StopPodSandboxResponse](t)(s.sandboxes.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: stopped}))
	if _, err := s.stats(k).PodSandboxStats(t.Context(), &runtimeapi.PodSandboxStatsRequest{PodSandboxId: stopped}); !errdefs.IsUnavailable(err) {
		t.Errorf("stopped: %v", err)
	}
	if _, err := s.stats(k).PodSandboxStats(t.Context(), &runtimeapi.PodSandboxStatsRequest{PodSandboxId: "nobody"}); !errdefs.IsNotFound(err) {
		t.Errorf("nobody: %v", err)
	}
	for _, test := range []struct {
		filter *runtimeapi.PodSandboxStatsFilter
		want   []string
	}{
		{nil, []string{shop, web}},
		{&runtimeapi.PodSandboxStatsFilter{Id: web[:20]}, []string{web}},
		{&runtimeapi.PodSandboxStatsFilter{Id: stopped}, nil},
		{&runtimeapi.PodSandboxStatsFilter{LabelSelector: map[string]string{"app": "shop"}}, []string{shop}},
	} {
		var got []string
		for _, one := range must[*runtimeapi.ListPodSandboxStatsResponse](t)(
			s.stats(k).ListPodSandboxStats(t.Context(), &runtimeapi.ListPodSandboxStatsRequest{Filter: test.filter})).GetStats() {
			got = append(got, one.GetAttributes().GetId())
			if containers := one.GetLinux().GetContainers(); got[len(got)-1] == shop && (len(containers) != 1 || containers[0].GetAttributes().GetId() != server) {
				t.Errorf("containers of a pod with a broken cgroup: %v", containers)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("filter %v gives %v, want %v", test.filter, got, test.want)
		}
	}
}
