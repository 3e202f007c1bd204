package cri

import (
	"context"
	"fmt"
	"log/slog"
	goruntime "runtime"
	"slices"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/cgroup"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/stats"
)

// Networks reads the interfaces of network namespaces; stats.Namespaces does.
type Networks interface {
	Interfaces(path string) ([]stats.Interface, error)
}

// Layers knows what snapshots take; *image.Service does.
type Layers interface {
	SnapshotUsage(snapshotter, key string) (image.SnapshotUsage, bool)
	Mountpoint(snapshotter string) string
}

// StatsDeps are what Stats is made of.
type StatsDeps struct {
	Pods       *pod.Service
	Containers *container.Service
	Systemd    bool // cgroups are made through systemd
	Cgroups    stats.Cgroups
	Networks   Networks
	Layers     Layers
	Log        *slog.Logger
}

// Stats serves the CRI's calls about what containers and pods use. It reads
// the kernel's files and memory, and waits for no operation and no shim. What
// cannot be read is missing in its own entry, and logged.
type Stats struct{ StatsDeps }

// NewStats returns the handlers.
func NewStats(deps StatsDeps) *Stats { return &Stats{deps} }

// ContainerStats tells what one container uses. Errors: NotFound,
// FailedPrecondition (it does not run).
func (s *Stats) ContainerStats(ctx context.Context, r *runtimeapi.ContainerStatsRequest) (*runtimeapi.ContainerStatsResponse, error) {
	one, err := s.Containers.Get(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	if !one.Running() {
		return nil, fmt.Errorf("container %s does not run: %w", one.ID, errdefs.ErrFailedPrecondition)
	}
	return &runtimeapi.ContainerStatsResponse{Stats: s.container(ctx, one).stats}, nil
}

// ListContainerStats tells what containers use, newest first. Of those that
// do not run there is only what they have written.
func (s *Stats) ListContainerStats(ctx context.Context, r *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	filter := r.GetFilter()
	chosen := chooseContainers(s.Containers.All(), filter.GetId(), filter.GetPodSandboxId(), filter.GetLabelSelector())
	response := &runtimeapi.ListContainerStatsResponse{}
	for _, one := range s.read(ctx, chosen) {
		response.Stats = append(response.Stats, one.stats)
	}
	return response, nil
}

// PodSandboxStats tells what one pod uses. Errors: NotFound, Unavailable (it
// is not ready).
func (s *Stats) PodSandboxStats(ctx context.Context, r *runtimeapi.PodSandboxStatsRequest) (*runtimeapi.PodSandboxStatsResponse, error) {
	p, err := s.Pods.Get(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	if !p.State().Ready {
		return nil, fmt.Errorf("pod %s is not ready: %w", p.ID, errdefs.ErrUnavailable)
	}
	return &runtimeapi.PodSandboxStatsResponse{Stats: s.pod(ctx, p, s.Containers.OfPod(p.ID))}, nil
}

// ListPodSandboxStats tells what the pods that are ready use, newest first.
func (s *Stats) ListPodSandboxStats(ctx context.Context, r *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	filter := r.GetFilter()
	chosen := choosePods(s.Pods.All(), filter.GetId(), filter.GetLabelSelector())
	chosen = slices.DeleteFunc(chosen, func(p *pod.Pod) bool { return !p.State().Ready })
	containers := make(map[string][]*container.Container)
	for _, one := range s.Containers.All() {
		containers[one.PodID] = append(containers[one.PodID], one)
	}
	return &runtimeapi.ListPodSandboxStatsResponse{Stats: each(chosen, func(p *pod.Pod) *runtimeapi.PodSandboxStats {
		return s.pod(ctx, p, containers[p.ID])
	})}, nil
}

// reading is what was read about one container.
type reading struct {
	usage stats.Usage
	stats *runtimeapi.ContainerStats
}

// read reads containers, in their order.
func (s *Stats) read(ctx context.Context, list []*container.Container) []reading {
	return each(list, func(one *container.Container) reading { return s.container(ctx, one) })
}

// container reads one.
func (s *Stats) container(ctx context.Context, one *container.Container) reading {
	var usage stats.Usage
	if one.Running() {
		usage = s.usage(ctx, one.Cgroup(), slog.String(telemetry.ContainerID, one.ID))
	}
	answer := &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{
			Id: one.ID, Metadata: one.Config.GetMetadata(), Labels: one.Config.GetLabels(), Annotations: one.Config.GetAnnotations(),
		},
		Cpu: cpuUsage(usage, &one.Cores), Memory: memoryUsage(usage), Swap: swapUsage(usage), Io: ioUsage(usage),
		WritableLayer: s.layer(one.Snapshot()),
	}
	return reading{usage, answer}
}

// layer is what a snapshot takes: nothing, at no time, if it was not measured
// yet.
func (s *Stats) layer(snapshotter, key string) *runtimeapi.FilesystemUsage {
	measured, ok := s.Layers.SnapshotUsage(snapshotter, key)
	answer := &runtimeapi.FilesystemUsage{
		FsId:       &runtimeapi.FilesystemIdentifier{Mountpoint: s.Layers.Mountpoint(snapshotter)},
		UsedBytes:  value(measured.Bytes),
		InodesUsed: value(measured.Inodes),
	}
	if ok {
		answer.Timestamp = measured.Time.UnixNano()
	}
	return answer
}

// pod reads one with its containers. Its figures are those of its own cgroup,
// which the client has made; of a pod without one, the sum of its containers'.
func (s *Stats) pod(ctx context.Context, p *pod.Pod, containers []*container.Container) *runtimeapi.PodSandboxStats {
	linux := &runtimeapi.LinuxPodSandboxStats{Network: s.network(ctx, p)}
	var parts []stats.Usage
	sortContainers(containers)
	for _, one := range s.read(ctx, containers) {
		parts = append(parts, one.usage)
		linux.Containers = append(linux.Containers, one.stats)
	}
	usage := stats.Sum(parts)
	if parent := cgroup.Parent(p.Config.GetLinux().GetCgroupParent(), s.Systemd); parent != "" {
		usage = s.usage(ctx, parent, slog.String(telemetry.PodID, p.ID))
	}
	linux.Cpu, linux.Memory, linux.Io = cpuUsage(usage, &p.Cores), memoryUsage(usage), ioUsage(usage)
	linux.Process = processUsage(usage)
	return &runtimeapi.PodSandboxStats{
		Attributes: &runtimeapi.PodSandboxAttributes{
			Id: p.ID, Metadata: p.Config.GetMetadata(), Labels: p.Config.GetLabels(), Annotations: p.Config.GetAnnotations(),
		},
		Linux: linux,
	}
}

// usage reads a cgroup. One that is not there is no error: what ran in it has
// just ended, or runs in a virtual machine.
func (s *Stats) usage(ctx context.Context, path string, of slog.Attr) stats.Usage {
	usage, err := s.Cgroups.Read(path)
	if err != nil && !errdefs.IsNotFound(err) {
		s.Log.WarnContext(ctx, "cgroup cannot be read", of, "error", err)
	}
	return usage
}

// network reads the interfaces of a pod that has its own.
func (s *Stats) network(ctx context.Context, p *pod.Pod) *runtimeapi.NetworkUsage {
	if p.Namespaces.Network == "" {
		return nil
	}
	found, err := s.Networks.Interfaces(p.Namespaces.Network)
	if err != nil && !errdefs.IsNotFound(err) {
		s.Log.WarnContext(ctx, "interfaces cannot be read", telemetry.PodID, p.ID, "error", err)
	}
	return networkUsage(found)
}

// each reads many things, a few at the same time, so that a cgroup on which
// the kernel is slow does not hold up all others.
func each[In, Out any](in []In, read func(In) Out) []Out {
	out := make([]Out, len(in))
	var group errgroup.Group
	group.SetLimit(2 * goruntime.GOMAXPROCS(0))
	for i, one := range in {
		group.Go(func() error {
			out[i] = read(one)
			return nil
		})
	}
	_ = group.Wait() // no reading fails as a whole
	return out
}
