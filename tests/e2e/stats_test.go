//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// figures reads what one container uses from the list, as a kubelet does.
func figures(ctx context.Context, cri *harness.CRI, id string) (*runtimeapi.ContainerStats, error) {
	list, err := cri.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{Filter: &runtimeapi.ContainerStatsFilter{Id: id}})
	if err != nil {
		return nil, err
	}
	if len(list.GetStats()) != 1 || list.GetStats()[0].GetAttributes().GetId() != id {
		return nil, fmt.Errorf("stats of container %s are %v", id, list.GetStats())
	}
	return list.GetStats()[0], nil
}

func podFigures(ctx context.Context, cri *harness.CRI, id string) (*runtimeapi.LinuxPodSandboxStats, error) {
	reply, err := cri.PodSandboxStats(ctx, &runtimeapi.PodSandboxStatsRequest{PodSandboxId: id})
	return reply.GetStats().GetLinux(), err
}

// TestStats watches a container that computes, fills memory and disk and is
// spoken to, also beyond the death of the runtime.
func TestStats(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	group := ownGroup(t, func(c *config.Config) { c.Image.StatsCollectPeriod = config.Duration(time.Second) })
	pod := runPod(t, group.CRI, "stats")
	busy := need(pod.Run(ctx, "busy", harness.Shell(
		"dd if=/dev/zero of=/dev/shm/memory bs=1M count=20; dd if=/dev/zero of=/disk bs=1M count=5; echo full; while :; do :; done")))(t)
	ok(t, busy.AwaitLog(ctx, "full"))
	gone := need(pod.Run(ctx, "gone", harness.Shell("exit 0")))(t)
	need(gone.AwaitExit(ctx))(t)

	before := need(figures(ctx, group.CRI, busy.ID))(t)
	after := before
	ok(t, harness.WaitFor(ctx, 30*time.Second, "the figures to grow", func(ctx context.Context) (err error) {
		if after, err = figures(ctx, group.CRI, busy.ID); err != nil {
			return err
		}
		cpu := after.GetCpu()
		if cpu.GetUsageCoreNanoSeconds().GetValue() <= before.GetCpu().GetUsageCoreNanoSeconds().GetValue() || cpu.GetUsageNanoCores().GetValue() == 0 {
			return fmt.Errorf("cpu was %v and is %v", before.GetCpu(), cpu)
		}
		if used := after.GetWritableLayer().GetUsedBytes().GetValue(); used < 5<<20 {
			return fmt.Errorf("the writable layer has %d bytes", used)
		}
		return nil
	}))
	memory := after.GetMemory()
	if memory.GetUsageBytes().GetValue() < 20<<20 || memory.GetWorkingSetBytes().GetValue() < 20<<20 ||
		memory.GetRssBytes().GetValue() == 0 || memory.GetPageFaults().GetValue() == 0 {
		t.Errorf("memory is %v", memory)
	}
	statsOfPod(t, group.CRI, pod, busy)

	if ended := need(figures(ctx, group.CRI, gone.ID))(t); ended.GetCpu() != nil || ended.GetMemory() != nil || ended.GetWritableLayer() == nil {
		t.Errorf("stats of an ended container are %v", ended)
	}
	if _, err := group.ContainerStats(ctx, &runtimeapi.ContainerStatsRequest{ContainerId: gone.ID}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("stats of an ended container: %v", err)
	}
	for _, command := range []string{"stats", "statsp"} {
		if out := need(group.Crictl(ctx, command, "-o", "json"))(t); !strings.Contains(out, busy.ID) && !strings.Contains(out, pod.ID) {
			t.Errorf("crictl %s shows %s", command, out)
		}
	}

	old := need(group.Kill(limit(t, time.Minute), "runtime"))(t)
	ok(t, group.AwaitGeneration(limit(t, time.Minute), old))
	again := need(figures(ctx, group.CRI, busy.ID))(t)
	if again.GetCpu().GetUsageCoreNanoSeconds().GetValue() < after.GetCpu().GetUsageCoreNanoSeconds().GetValue() ||
		again.GetMemory().GetUsageBytes().GetValue() < 20<<20 {
		t.Errorf("after a kill of the runtime: %v, before it %v", again, after)
	}
	statsOfPod(t, group.CRI, pod, busy)
}

// statsOfPod compares a pod's figures with its container's, and has its
// network carry something.
func statsOfPod(t *testing.T, cri *harness.CRI, pod *harness.Pod, busy *harness.Container) {
	t.Helper()
	ctx := limit(t, time.Minute)
	one := need(figures(ctx, cri, busy.ID))(t)
	before := need(podFigures(ctx, cri, pod.ID))(t)
	if before.GetCpu().GetUsageCoreNanoSeconds().GetValue() < one.GetCpu().GetUsageCoreNanoSeconds().GetValue() ||
		before.GetMemory().GetUsageBytes().GetValue() < 20<<20 || before.GetProcess().GetProcessCount().GetValue() == 0 || len(before.GetContainers()) != 2 {
		t.Errorf("the pod's figures are %v, its container's %v", before, one)
	}
	if name := before.GetNetwork().GetDefaultInterface().GetName(); name != "eth0" {
		t.Errorf("default interface is %q", name)
	}
	address := net.JoinHostPort(need(pod.IP(ctx))(t), "9")
	if conn, err := net.DialTimeout("tcp", address, 5*time.Second); err == nil { // the refusal is an answer, too
		_ = conn.Close()
	}
	after := need(podFigures(ctx, cri, pod.ID))(t).GetNetwork().GetDefaultInterface()
	was := before.GetNetwork().GetDefaultInterface()
	if after.GetRxBytes().GetValue() <= was.GetRxBytes().GetValue() || after.GetTxBytes().GetValue() <= was.GetTxBytes().GetValue() {
		t.Errorf("the interface had %v and has %v", was, after)
	}
	stream := need(cri.StreamPodSandboxStats(ctx, &runtimeapi.StreamPodSandboxStatsRequest{Filter: &runtimeapi.PodSandboxStatsFilter{Id: pod.ID}}))(t)
	if message := need(stream.Recv())(t); len(message.GetPodSandboxStats()) != 1 || message.GetPodSandboxStats()[0].GetAttributes().GetId() != pod.ID {
		t.Errorf("the stream has %v", message)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after its only message the stream has %v", err)
	}
}
