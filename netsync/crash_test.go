package main_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

// attach starts an attachment in the background.
func (m *member) attach(pod *netsyncv1.AttachRequest) <-chan error {
	result := make(chan error, 1)
	client, ctx := m.client, limit(m.t)
	go func() {
		_, err := client.Attach(ctx, pod)
		result <- err
	}()
	return result
}

// clean waits until nothing is attached, on record or in fact.
func (m *member) clean() {
	m.t.Helper()
	m.await("an empty ledger", func(s *netsyncv1.WatchStatusResponse) bool { return s.GetAttachments() == 0 })
	if held := m.dir.Held(m.t); len(held) > 0 {
		m.t.Errorf("left behind: %v", held)
	}
}

func TestKilledDuringAdd(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.start()
	unblock := m.dir.Block(t, "ADD")
	m.attach(newPod(t))
	m.dir.Await(t, "ADD", 1)
	m.kill()
	if len(m.dir.Held(t)) != 1 {
		t.Fatalf("the plugin holds %v", m.dir.Held(t))
	}
	// The plugin dies with netsync, or its ADD would go on behind our back.
	plugintest.Eventually(t, "the plugin's end", func() bool {
		return errors.Is(unix.Kill(m.dir.Calls(t, "ADD")[0].PID, 0), unix.ESRCH)
	})
	m.start()
	m.clean()
	unblock()
}

func TestKilledDuringDelete(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.start()
	pod := newPod(t)
	ok(t, <-m.attach(pod))
	unblock := m.dir.Block(t, "DEL")
	client, ctx := m.client, limit(t)
	go func() { _, _ = client.Detach(ctx, &netsyncv1.DetachRequest{Pod: pod.GetPod()}) }()
	m.dir.Await(t, "DEL", 1)
	m.kill()
	unblock()
	m.start()
	m.clean()
}

func TestKilledBeforeUndo(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.start()
	m.dir.Fail(t, "ADD", types.NewError(100, "no address is free", ""))
	mend := m.dir.Fail(t, "DEL", types.NewError(101, "cannot undo", ""))
	err := <-m.attach(newPod(t))
	if err == nil || !strings.Contains(err.Error(), "no address is free") || !strings.Contains(err.Error(), "cannot undo") {
		t.Errorf("attach says %v", err)
	}
	m.kill()
	mend()
	m.start()
	m.clean()
}

func TestKilledAfterResult(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.start()
	kept, lost := newPod(t), newPod(t)
	ok(t, <-m.attach(kept))
	ok(t, <-m.attach(lost))
	m.kill()
	m.start()
	m.await("both records", func(s *netsyncv1.WatchStatusResponse) bool { return s.GetAttachments() == 2 })
	long := timestamppb.New(time.Now().Add(-time.Hour))
	resp, err := m.client.Sweep(limit(t), &netsyncv1.SweepRequest{AsOf: long})
	if err != nil || len(resp.GetRemoved()) != 0 {
		t.Errorf("a sweep of long ago removed %v, %v", resp.GetRemoved(), err)
	}
	resp, err = m.client.Sweep(limit(t), &netsyncv1.SweepRequest{PodIds: []string{kept.GetPod().GetId()}, AsOf: timestamppb.Now()})
	ok(t, err)
	if len(resp.GetRemoved()) != 1 || resp.GetRemoved()[0] != lost.GetPod().GetId() {
		t.Errorf("swept %v", resp.GetRemoved())
	}
	if held := m.dir.Held(t); len(held) != 2 || !strings.Contains(held[0], kept.GetPod().GetId()) {
		t.Errorf("the plugins hold %v", held)
	}
	// GC names what is valid.
	plugintest.Eventually(t, "GC that knows the pod", func() bool {
		calls := m.dir.Calls(t, "GC")
		if len(calls) == 0 {
			return false
		}
		config := string(calls[len(calls)-1].Config)
		return strings.Contains(config, kept.GetPod().GetId()) && !strings.Contains(config, lost.GetPod().GetId())
	})
}

func TestStopLetsFinishThenUndoes(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.cfg.Launcher.StopTimeout = config.Duration(4 * time.Second)
	m.start()
	m.await("ready", (*netsyncv1.WatchStatusResponse).GetReady)

	// One that ends in time.
	unblock := m.dir.Block(t, "ADD")
	pod := newPod(t)
	result := m.attach(pod)
	m.dir.Await(t, "ADD", 1)
	ended := make(chan struct{})
	go func() { defer close(ended); m.stop() }()
	unblock()
	ok(t, <-result)
	<-ended

	// One that does not.
	m.start()
	m.dir.Block(t, "ADD")
	result = m.attach(newPod(t))
	m.dir.Await(t, "ADD", 3)
	m.stop()
	if err := <-result; !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("attach says %v", err)
	}
	if held := m.dir.Held(t); len(held) != 2 {
		t.Errorf("the plugins hold %v, not only the first pod's", held)
	}
}

func TestRestartWithDamage(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	ok(t, os.RemoveAll(m.cfg.CNI.ConfDir))
	m.start()
	state := m.await("no network", func(s *netsyncv1.WatchStatusResponse) bool { return !s.GetReady() })
	if !strings.Contains(state.GetMessage(), m.cfg.CNI.ConfDir) {
		t.Errorf("message is %q", state.GetMessage())
	}
	err := <-m.attach(newPod(t))
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), m.cfg.CNI.ConfDir) {
		t.Errorf("attach says %v", err)
	}
	ok(t, os.MkdirAll(m.cfg.CNI.ConfDir, 0o755))
	ok(t, os.WriteFile(m.cfg.CNI.ConfDir+"/5.conf", []byte(`{"cniVersion":"1.0.0","name":"single","type":"first","dir":"`+string(m.dir)+`","ips":["10.9.9.9/24"]}`), 0o600))
	m.await("ready", (*netsyncv1.WatchStatusResponse).GetReady)
	pod := newPod(t)
	ok(t, <-m.attach(pod))

	// The node lost its configuration and restarted; the pod still goes.
	ok(t, os.RemoveAll(m.cfg.CNI.ConfDir))
	m.kill()
	m.start()
	_, err = m.client.Detach(limit(t), &netsyncv1.DetachRequest{Pod: &netsyncv1.Pod{Id: pod.GetPod().GetId()}})
	ok(t, err)
	m.clean()
	// And once more, for nothing.
	_, err = m.client.Detach(limit(t), &netsyncv1.DetachRequest{Pod: pod.GetPod()})
	ok(t, err)
}

func TestErrorsOverTheWire(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.cfg.CNI.AttachTimeout = config.Duration(300 * time.Millisecond)
	m.start()
	m.await("ready", (*netsyncv1.WatchStatusResponse).GetReady)
	for name, test := range map[string]struct {
		edit func(*netsyncv1.AttachRequest)
		kind func(error) bool
		says string
	}{
		"no pod":            {func(r *netsyncv1.AttachRequest) { r.Pod = nil }, errdefs.IsInvalidArgument, "pod is missing"},
		"id is a path":      {func(r *netsyncv1.AttachRequest) { r.Pod.Id = "../x" }, errdefs.IsInvalidArgument, "../x"},
		"args in the name":  {func(r *netsyncv1.AttachRequest) { r.Pod.Name = "a;K8S_POD_NAME=b" }, errdefs.IsInvalidArgument, "pod name"},
		"no netns":          {func(r *netsyncv1.AttachRequest) { r.NetnsPath = "/no/such" }, errdefs.IsInvalidArgument, "/no/such"},
		"relative netns":    {func(r *netsyncv1.AttachRequest) { r.NetnsPath = "self/ns/net" }, errdefs.IsInvalidArgument, "self/ns/net"},
		"another namespace": {func(r *netsyncv1.AttachRequest) { r.NetnsPath = "/proc/self/ns/uts" }, errdefs.IsInvalidArgument, "/proc/self/ns/uts"},
		"the host's":        {func(r *netsyncv1.AttachRequest) { r.NetnsPath = "/proc/thread-self/ns/net" }, errdefs.IsInvalidArgument, "host"},
		"unknown network":   {func(r *netsyncv1.AttachRequest) { r.Network = "/other" }, errdefs.IsInvalidArgument, "/other"},
		"protocol":          {func(r *netsyncv1.AttachRequest) { r.PortMappings = port("icmp", 1, 1, "") }, errdefs.IsInvalidArgument, "icmp"},
		"container port":    {func(r *netsyncv1.AttachRequest) { r.PortMappings = port("tcp", 0, 1, "") }, errdefs.IsInvalidArgument, "container port 0"},
		"host port":         {func(r *netsyncv1.AttachRequest) { r.PortMappings = port("udp", 1, 65536, "") }, errdefs.IsInvalidArgument, "65536"},
		"host IP":           {func(r *netsyncv1.AttachRequest) { r.PortMappings = port("sctp", 1, 1, "h") }, errdefs.IsInvalidArgument, `host IP "h"`},
	} {
		pod := newPod(t)
		test.edit(pod)
		if err := <-m.attach(pod); !test.kind(err) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls := m.dir.Calls(t, "ADD"); len(calls) > 0 {
		t.Errorf("a plugin ran for a bad request: %v", calls)
	}

	m.dir.Block(t, "ADD")
	err := <-m.attach(newPod(t))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `plugin "first"`) || !strings.Contains(err.Error(), "attach_timeout") {
		t.Errorf("a slow plugin: %v", err)
	}
	if _, err := m.client.Check(limit(t), &netsyncv1.CheckRequest{PodId: strings.Repeat("ab", 32)}); !errdefs.IsNotFound(err) {
		t.Errorf("check of an unknown pod: %v", err)
	}
	if _, err := m.client.SetPodCIDR(limit(t), &netsyncv1.SetPodCIDRRequest{Cidrs: []string{"10.0.0.0"}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("not a CIDR: %v", err)
	}
	if _, err := m.client.Sweep(limit(t), &netsyncv1.SweepRequest{PodIds: []string{"x/y"}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("sweep of a path: %v", err)
	}
	bad := &netsyncv1.SweepRequest{AsOf: &timestamppb.Timestamp{Nanos: -1}}
	if _, err := m.client.Sweep(limit(t), bad); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "as_of") {
		t.Errorf("sweep as of no time: %v", err)
	}
	m.clean()
}

func port(protocol string, container, host int32, ip string) []*netsyncv1.PortMapping {
	return []*netsyncv1.PortMapping{{Protocol: protocol, ContainerPort: container, HostPort: host, HostIp: ip}}
}

func TestPodCIDRSurvives(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	ok(t, os.RemoveAll(m.cfg.CNI.ConfDir))
	m.cfg.CNI.ConfTemplate = m.path + ".template"
	ok(t, os.WriteFile(m.cfg.CNI.ConfTemplate, plugintest.Conflist("1.0.0", "generated", plugintest.Settings{
		Type: "first", Dir: string(m.dir), IPs: []string{"{{.PodCIDR}}"}, Capabilities: map[string]bool{"ipRanges": true},
	}), 0o600))
	m.start()
	_, err := m.client.SetPodCIDR(limit(t), &netsyncv1.SetPodCIDRRequest{Cidrs: []string{"10.77.0.0/24"}})
	ok(t, err)
	m.await("ready", (*netsyncv1.WatchStatusResponse).GetReady)
	m.kill()
	ok(t, os.RemoveAll(m.cfg.CNI.ConfDir))
	m.start()
	m.await("ready", (*netsyncv1.WatchStatusResponse).GetReady)
	ok(t, <-m.attach(newPod(t)))
	if config := string(m.dir.Calls(t, "ADD")[0].Config); !strings.Contains(config, `"ipRanges":[[{"subnet":"10.77.0.0/24"}]]`) {
		t.Errorf("ADD got %s", config)
	}
}
