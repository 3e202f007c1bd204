package cri_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/stats"
)

// kernel is a fake of all that stats are read from.
type kernel struct {
	mu       sync.Mutex
	cgroups  map[string]stats.Usage
	broken   map[string]error
	networks map[string][]stats.Interface // by what the path contains
	layers   map[string]image.SnapshotUsage
	log      bytes.Buffer
}

func (k *kernel) Read(path string) (stats.Usage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	usage, ok := k.cgroups[path]
	if err := k.broken[path]; err != nil {
		return usage, err
	}
	if !ok {
		return usage, fmt.Errorf("cgroup %q: %w", path, errdefs.ErrNotFound)
	}
	return usage, nil
}

func (k *kernel) Interfaces(path string) ([]stats.Interface, error) {
	for part, found := range k.networks {
		if strings.Contains(path, part) {
			return found, nil
		}
	}
	return nil, fmt.Errorf("network namespace %s: %w", path, errdefs.ErrNotFound)
}

func (k *kernel) SnapshotUsage(_, key string) (image.SnapshotUsage, bool) {
	usage, ok := k.layers[key]
	return usage, ok
}

func (k *kernel) Mountpoint(snapshotter string) string { return "/containerd/" + snapshotter }

// stats are handlers that read the fake.
func (s *server) stats(k *kernel) *cri.Stats {
	return cri.NewStats(cri.StatsDeps{
		Pods: s.process.Pods, Containers: s.process.Containers, Cgroups: k, Networks: k, Layers: k,
		Log: slog.New(slog.NewTextHandler(&k.log, nil)),
	})
}

func newKernel() *kernel {
	return &kernel{
		cgroups: make(map[string]stats.Usage), broken: make(map[string]error),
		networks: make(map[string][]stats.Interface), layers: make(map[string]image.SnapshotUsage),
	}
}

// uses is a usage with figures that are all different.
func uses(n uint64) stats.Usage {
	available, processes := 5*n, 6*n
	return stats.Usage{
		Time:   time.Unix(1000, 0),
		CPU:    &stats.CPU{Total: n, Pressure: &stats.Pressure{Some: &stats.Stall{Avg10: 1, Avg60: 2, Avg300: 3, Total: 4}}},
		Memory: &stats.Memory{Usage: 2 * n, WorkingSet: 3 * n, RSS: 4 * n, Faults: 7 * n, Major: 8 * n, Available: &available},
		Swap:   &stats.Swap{Usage: 9 * n}, IO: &stats.Pressure{Full: &stats.Stall{Total: n}}, Processes: &processes,
	}
}

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

// sent is the server's side of a stream, which keeps what is sent.
type sent[T any] struct {
	grpc.ServerStreamingServer[T]
	ctx  context.Context
	err  error
	sent []*T
}

func (s *sent[T]) Context() context.Context { return s.ctx }

func (s *sent[T]) Send(message *T) error {
	s.sent = append(s.sent, message)
	return s.err
}

func TestStreamedLists(t *testing.T) {
	t.Parallel()
	s, k := newServer(t), newKernel()
	none := &sent[runtimeapi.StreamPodSandboxesResponse]{ctx: t.Context()}
	if err := s.sandboxes.StreamPodSandboxes(&runtimeapi.StreamPodSandboxesRequest{}, none); err != nil || len(none.sent) > 0 {
		t.Errorf("of no pods %v: %v", none.sent, err)
	}
	const many = 501 // one more than a message has
	pod := s.pod(t, podtest.Sandbox("web"))
	for i := range many {
		s.create(t, pod, fmt.Sprint("c", i))
	}
	containers := &sent[runtimeapi.StreamContainersResponse]{ctx: t.Context()}
	err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{}, containers)
	if err != nil || len(containers.sent) != 2 || len(containers.sent[0].GetContainers()) != 500 || len(containers.sent[1].GetContainers()) != 1 {
		t.Errorf("containers: %d messages: %v", len(containers.sent), err)
	}
	filtered := &sent[runtimeapi.StreamContainersResponse]{ctx: t.Context()}
	filter := &runtimeapi.ContainerFilter{LabelSelector: map[string]string{"tier": "c7"}}
	if err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{Filter: filter}, filtered); err != nil || len(filtered.sent) != 1 || len(filtered.sent[0].GetContainers()) != 1 {
		t.Errorf("filtered: %v: %v", filtered.sent, err)
	}
	pods := &sent[runtimeapi.StreamPodSandboxesResponse]{ctx: t.Context()}
	if err := s.sandboxes.StreamPodSandboxes(&runtimeapi.StreamPodSandboxesRequest{}, pods); err != nil || len(pods.sent) != 1 || pods.sent[0].GetPodSandboxes()[0].GetId() != pod {
		t.Errorf("pods: %v: %v", pods.sent, err)
	}
	usages := &sent[runtimeapi.StreamContainerStatsResponse]{ctx: t.Context()}
	if err := s.stats(k).StreamContainerStats(&runtimeapi.StreamContainerStatsRequest{}, usages); err != nil || len(usages.sent) != 2 || len(usages.sent[0].GetContainerStats()) != 500 {
		t.Errorf("container stats: %d messages: %v", len(usages.sent), err)
	}
	ofPods := &sent[runtimeapi.StreamPodSandboxStatsResponse]{ctx: t.Context()}
	if err := s.stats(k).StreamPodSandboxStats(&runtimeapi.StreamPodSandboxStatsRequest{}, ofPods); err != nil || len(ofPods.sent) != 1 || len(ofPods.sent[0].GetPodSandboxStats()) != 1 {
		t.Errorf("pod stats: %v: %v", ofPods.sent, err)
	}
	images := &sent[runtimeapi.StreamImagesResponse]{ctx: t.Context()}
	if err := cri.NewImages(s.Images, nil).StreamImages(&runtimeapi.StreamImagesRequest{}, images); err != nil || len(images.sent) != 1 || len(images.sent[0].GetImages()) != 1 {
		t.Errorf("images: %v: %v", images.sent, err)
	}
	// A client that went away ends the list.
	broken := &sent[runtimeapi.StreamContainersResponse]{ctx: t.Context(), err: errors.New("broken")}
	if err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{}, broken); err == nil || len(broken.sent) != 1 {
		t.Errorf("broken: %d messages: %v", len(broken.sent), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	left := &sent[runtimeapi.StreamContainersResponse]{ctx: ctx}
	if err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{}, left); !errors.Is(err, context.Canceled) || len(left.sent) > 0 {
		t.Errorf("left: %d messages: %v", len(left.sent), err)
	}
}
