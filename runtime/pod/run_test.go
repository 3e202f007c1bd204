package pod_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestRun(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	cfg := podtest.SharedPID("web")
	p, err := s.Run(t.Context(), cfg, "other")
	if err != nil {
		t.Fatal(err)
	}
	state := p.State()
	if !state.Ready || !slices.Equal(state.IPs, []string{"10.88.0.2", "fd00::2"}) || state.Network == "" || state.PausePID == 0 {
		t.Errorf("state %+v", state)
	}
	if p.HandlerName != "other" || p.Handler.Snapshotter != "native" || p.Namespaces.Network == "" || p.Files.Hosts == "" || !p.SharesPID() {
		t.Errorf("pod %+v", p)
	}
	record, ok := w.Records.Get(p.ID)
	if !ok {
		t.Fatal("there is no record")
	}
	r, kept := record.Record, &runtimeapi.PodSandboxConfig{}
	if err := proto.Unmarshal(r.GetConfig(), kept); err != nil || !proto.Equal(kept, cfg) {
		t.Errorf("recorded configuration: %v, %v", kept, err)
	}
	if r.GetRuntimeHandler() != "other" || !r.GetPause() || !r.GetAttached() || r.GetBootId() != podtest.BootID ||
		!slices.Equal(r.GetIps(), state.IPs) || r.GetNetworkResult() != state.Network || !r.GetCreatedAt().AsTime().Equal(p.CreatedAt) {
		t.Errorf("record %v", r)
	}
	if got := record.Labels["io.kubernetes.pod.name"]; got != "web" {
		t.Errorf("labels %v", record.Labels)
	}
	if at, _ := w.Network.Get(p.ID); at.Netns != p.Namespaces.Network || at.ConfDir != "/etc/cni/other" {
		t.Errorf("attached as %+v", at)
	}
	found, err := s.Get(p.ID[:10])
	if err != nil || found != p {
		t.Errorf("by the start of its id: %v, %v", found, err)
	}
}

// TestRunFails lets each call fail, before and after its effect: nothing is
// left, and the next attempt gets a pod.
// TestDefaultAnnotations are the pod's own from then on, for the retry too.
func TestDefaultAnnotations(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	cfg := podtest.Sandbox("web")
	cfg.Annotations = map[string]string{"io.example/zone": "b", "x": "y"}
	sent := proto.CloneOf(cfg)
	p, err := s.Run(t.Context(), cfg, "special")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"io.example/zone": "b", "x": "y", "devices.crio.io": "/dev/fuse"}
	if !maps.Equal(p.Config.GetAnnotations(), want) || !proto.Equal(cfg, sent) {
		t.Errorf("annotations are %v, and the request's %v", p.Config.GetAnnotations(), cfg.GetAnnotations())
	}
	if again, err := s.Run(t.Context(), cfg, "special"); again != p || err != nil {
		t.Errorf("the retry: %v, %v", again, err)
	}
	plain, err := s.Run(t.Context(), podtest.Sandbox("plain"), "")
	if err != nil || len(plain.Config.GetAnnotations()) != len(podtest.Sandbox("plain").GetAnnotations()) {
		t.Errorf("of another handler: %v, %v", plain, err)
	}
}

func TestRunFails(t *testing.T) {
	t.Parallel()
	cfg := podtest.SharedPID("web")
	cfg.Linux.Sysctls = map[string]string{"net.ipv4.conf.eth0.rp_filter": "0"}
	reference := podtest.New()
	run(t, newService(t, reference), cfg)
	steps := reference.Steps()
	for _, want := range []string{"Pins.Create", "Pins.Apply", "Files.Create", "Network.Attach", "Pauses.Start", "Records.Create", "Plugins.Admit", "Plugins.RunPod"} {
		if !slices.Contains(steps, want) {
			t.Errorf("%s is no step", want)
		}
	}
	eachFailure(t, steps, func(t *testing.T, step string, when podtest.When) {
		w := podtest.New()
		s := newService(t, w)
		w.Fail(step, when, 1)
		_, err := s.Run(t.Context(), cfg, "")
		injected(t, err)
		empty(t, w)
		if known := w.Plugins.IDs(); len(known) > 0 {
			t.Errorf("plugins still know %v", known)
		}
		if len(s.All()) != 0 || len(s.Running()) != 0 {
			t.Errorf("the service has %v, and runs %v", s.All(), s.Running())
		}
		w.Calls()
		if err := s.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		if calls := w.Calls(); !slices.Equal(calls, []string{"Network.Sweep"}) {
			t.Errorf("the sweep removes: %v", calls)
		}
		if p := run(t, s, cfg); !p.State().Ready {
			t.Error("the retry's pod is not ready")
		}
	})
}

// TestUndoFails: what could not be undone is found by the sweep.
func TestUndoFails(t *testing.T) {
	t.Parallel()
	for _, undo := range []string{"Pins.Remove", "Files.Remove", "Network.Detach"} {
		t.Run(undo, func(t *testing.T) {
			t.Parallel()
			w := podtest.New()
			s := newService(t, w)
			w.Fail("Records.Create", podtest.Before, 1)
			w.Fail(undo, podtest.Before, 1)
			_, err := s.Run(t.Context(), podtest.Sandbox("web"), "")
			injected(t, err)
			if left := w.Leftovers(); len(left) != 1 {
				t.Fatalf("left over: %v, not what one step keeps", left)
			}
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			empty(t, w)
		})
	}
}

// TestClientGivesUp: the deadline of a client names the stage, the start goes
// on, and retries join it.
func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	for call, stage := range map[string]string{
		"Network.Attach": "network", "Pauses.Start": "sandbox or pause container", "Records.Create": "record",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := podtest.New()
				s := pod.New(w.Deps())
				defer s.Close()
				_, release := w.Hold(call)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				_, err := s.Run(ctx, podtest.SharedPID("web"), "")
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), stage) || !strings.Contains(err.Error(), "shop/web/uid-web") {
					t.Fatalf("the client that gave up gets %v", err)
				}
				if running := s.Running(); len(running) != 1 || running[0].Stage != stage || running[0].Age != 3*time.Second {
					t.Errorf("running: %v", running)
				}
				var retries sync.WaitGroup
				var pods [3]*pod.Pod
				for i := range pods {
					retries.Go(func() {
						p, err := s.Run(t.Context(), podtest.SharedPID("web"), "")
						if err != nil {
							t.Errorf("a retry gets %v", err)
						}
						pods[i] = p
					})
				}
				retries.Go(func() {
					other := podtest.SharedPID("web")
					other.Hostname = "other"
					if _, err := s.Run(t.Context(), other, ""); !errdefs.IsAlreadyExists(err) {
						t.Errorf("one who asks otherwise gets %v", err)
					}
				})
				synctest.Wait()
				release()
				retries.Wait()
				if pods[0] == nil || pods[0] != pods[1] || pods[1] != pods[2] || w.Called("Pins.Create") != 1 {
					t.Errorf("pods %v, %d were begun", pods, w.Called("Pins.Create"))
				}
				if again, err := s.Run(t.Context(), podtest.SharedPID("web"), ""); again != pods[0] || err != nil {
					t.Errorf("afterwards: %v, %v", again, err)
				}
			})
		})
	}
}

// TestStartTakesTooLong: without a client's deadline the configured one ends a
// start, and nothing is left.
func TestStartTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := podtest.New()
		s := pod.New(w.Deps())
		defer s.Close()
		w.Hold("Network.Attach")
		begun := time.Now()
		_, err := s.Run(t.Context(), podtest.Sandbox("web"), "")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != podtest.Config().CreateTimeout.Std() {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		empty(t, w)
	})
}

// TestClose: the end of the process undoes what is half done.
func TestClose(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := pod.New(w.Deps())
	entered, _ := w.Hold("Network.Attach")
	failed := make(chan error)
	go func() {
		_, err := s.Run(t.Context(), podtest.Sandbox("web"), "")
		failed <- err
	}()
	<-entered
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("cut off: %v", err)
	}
	<-closed
	empty(t, w)
	if _, err := s.Run(t.Context(), podtest.Sandbox("web"), ""); !errdefs.IsUnavailable(err) {
		t.Errorf("after the end: %v", err)
	}
}

func TestOtherwise(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	p := run(t, s, podtest.Sandbox("web"))
	if again := run(t, s, podtest.Sandbox("web")); again != p {
		t.Error("the same request gets another pod")
	}
	other := podtest.Sandbox("web")
	other.Annotations = map[string]string{"a": "b"}
	for _, try := range []struct {
		cfg     *runtimeapi.PodSandboxConfig
		handler string
	}{{other, ""}, {podtest.Sandbox("web"), "other"}, {podtest.Sandbox("web"), "runc"}} {
		if _, err := s.Run(t.Context(), try.cfg, try.handler); !errdefs.IsAlreadyExists(err) || !strings.Contains(err.Error(), p.ID) {
			t.Errorf("handler %q: %v", try.handler, err)
		}
	}
	next := podtest.Sandbox("web")
	next.Metadata.Attempt = 1
	if second := run(t, s, next); second.ID == p.ID {
		t.Error("the next attempt gets the same pod")
	}
	if err := s.Stop(t.Context(), p, nothing); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), podtest.Sandbox("web"), ""); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a pod that has ended is run again: %v", err)
	}
}

func TestHostNamespaces(t *testing.T) {
	t.Parallel()
	for name, ipc := range map[string]runtimeapi.NamespaceMode{"network": runtimeapi.NamespaceMode_POD, "network and IPC": runtimeapi.NamespaceMode_NODE} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := podtest.New()
			s := newService(t, w)
			cfg := podtest.Sandbox("web")
			cfg.Linux.SecurityContext.NamespaceOptions.Network, cfg.Linux.SecurityContext.NamespaceOptions.Ipc = runtimeapi.NamespaceMode_NODE, ipc
			p := run(t, s, cfg)
			if p.Namespaces.Network != "" || p.Namespaces.UTS != "" || (p.Namespaces.IPC != "") != (ipc == runtimeapi.NamespaceMode_POD) || len(p.State().IPs) > 0 {
				t.Errorf("namespaces %+v, IPs %v", p.Namespaces, p.State().IPs)
			}
			if pin, ok := w.Pins.Get(p.ID); ok && (pin.Request.Net || pin.Request.UTS || pin.Request.Hostname != "" || pin.Request.UnprivilegedPorts) {
				t.Errorf("pins %+v", pin.Request)
			}
			again := newService(t, w)
			if err := again.Recover(t.Context()); err != nil || !again.All()[p.ID].State().Ready {
				t.Errorf("after a restart it is not ready: %v", err)
			}
			if err := s.Remove(t.Context(), p, nothing, nothing); err != nil {
				t.Fatal(err)
			}
			empty(t, w)
			for _, call := range w.Calls() {
				if strings.HasPrefix(call, "Network.") {
					t.Errorf("%s is called", call)
				}
			}
		})
	}
}

func TestNamespaceRequest(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	cfg := podtest.Sandbox("web")
	early := map[string]string{
		"net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.default.rp_filter": "1", "net.ipv4.conf.lo.rp_filter": "1",
		"net.ipv4.ip_forward": "1", "kernel.shmmax": "1", "net.core.somaxconn": "1", "net/ipv4/tcp_syncookies": "1",
	}
	late := map[string]string{
		"net.ipv4.conf.eth0.rp_filter": "0", "net/ipv6/conf/eth0.100/accept_ra": "0", "net.ipv4.neigh.eth0.gc_stale_time": "9",
	}
	cfg.Linux.Sysctls = maps.Clone(early)
	maps.Copy(cfg.Linux.Sysctls, late)
	mapping := []*runtimeapi.IDMapping{{HostId: 65536, ContainerId: 0, Length: 1000}}
	cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{
		Mode: runtimeapi.NamespaceMode_POD, Uids: mapping, Gids: mapping,
	}
	p := run(t, s, cfg)
	pin, _ := w.Pins.Get(p.ID)
	r := pin.Request
	if !maps.Equal(r.Sysctls, early) || !maps.Equal(pin.Applied, late) {
		t.Errorf("before the network %v, after it %v", r.Sysctls, pin.Applied)
	}
	calls := w.Calls()
	if at := slices.Index(calls, "Network.Attach"); at < slices.Index(calls, "Pins.Create") || at > slices.Index(calls, "Pins.Apply") {
		t.Errorf("order %v", calls)
	}
	if !r.Net || !r.IPC || !r.UTS || r.Hostname != "web" || len(r.UIDs) != 1 || r.UIDs[0].HostID != 65536 || r.UIDs[0].Size != 1000 || len(r.GIDs) != 1 ||
		!r.UnprivilegedPorts || !r.UnprivilegedICMP {
		t.Errorf("request %+v", r)
	}
	if p.Namespaces.User == "" {
		t.Error("the pod does not know its user namespace")
	}
}

// TestRefused: what cannot be is told by field and value, before anything is
// made.
func TestRefused(t *testing.T) {
	t.Parallel()
	type edit = func(*runtimeapi.PodSandboxConfig)
	options := func(c *runtimeapi.PodSandboxConfig) *runtimeapi.NamespaceOption {
		return c.Linux.SecurityContext.NamespaceOptions
	}
	for name, try := range map[string]struct {
		edit    edit
		handler string
		says    []string
	}{
		"no name":      {func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Name = "" }, "", []string{"metadata.name"}},
		"no namespace": {func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Namespace = "" }, "", []string{"metadata.namespace"}},
		"no uid":       {func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Uid = "" }, "", []string{"metadata.uid"}},
		"no metadata":  {func(c *runtimeapi.PodSandboxConfig) { c.Metadata = nil }, "", []string{"metadata.name"}},
		"handler":      {func(*runtimeapi.PodSandboxConfig) {}, "gvisor", []string{"runtime_handler", "gvisor", "not configured"}},
		"cgroup":       {func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = "../up" }, "", []string{"cgroup_parent", "../up"}},
		"network": {
			func(c *runtimeapi.PodSandboxConfig) { options(c).Network = runtimeapi.NamespaceMode_TARGET }, "",
			[]string{"namespace_options.network", "TARGET"},
		},
		"ipc": {
			func(c *runtimeapi.PodSandboxConfig) { options(c).Ipc = runtimeapi.NamespaceMode_CONTAINER }, "",
			[]string{"namespace_options.ipc", "CONTAINER"},
		},
		"sysctls of the host": {func(c *runtimeapi.PodSandboxConfig) {
			options(c).Network, options(c).Ipc = runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_NODE
			c.Linux.Sysctls = map[string]string{"net.ipv4.conf.eth0.rp_filter": "0"}
		}, "", []string{"linux.sysctls", "net.ipv4.conf.eth0.rp_filter"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := podtest.New()
			s := newService(t, w)
			cfg := podtest.Sandbox("web")
			try.edit(cfg)
			_, err := s.Run(t.Context(), cfg, try.handler)
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("got %v", err)
			}
			for _, part := range try.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if calls := w.Calls(); len(calls) > 0 {
				t.Errorf("calls %v", calls)
			}
		})
	}
}

// TestInterfaceSysctlOfHost: one that would be set after the network is not
// forgotten in a pod that has none.
func TestInterfaceSysctlOfHost(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	s := newService(t, w)
	cfg := podtest.Sandbox("web")
	cfg.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	cfg.Linux.Sysctls = map[string]string{"net.ipv4.conf.eth0.rp_filter": "0"}
	p := run(t, s, cfg)
	if pin, _ := w.Pins.Get(p.ID); len(pin.Request.Sysctls) != 1 {
		t.Errorf("the namespaces are asked for with %v, so that nobody refuses the key", pin.Request.Sysctls)
	}
}

// TestLongLabels: containerd refuses labels of more than 4096 bytes, so those
// are left out.
func TestLongLabels(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	cfg := podtest.Sandbox("web")
	cfg.Metadata.Uid = strings.Repeat("u", 5000)
	p := run(t, newService(t, w), cfg)
	record, _ := w.Records.Get(p.ID)
	if _, ok := record.Labels["io.kubernetes.pod.uid"]; ok || record.Labels["io.kubernetes.pod.name"] != "web" {
		t.Errorf("labels of %d", len(record.Labels))
	}
}
