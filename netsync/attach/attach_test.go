package attach_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/trivet-cri/trivet/netsync/attach"
	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
)

func TestAttachAndDetach(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.request()
	r.PortMappings = []attach.PortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}
	result, err := b.Attach(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(result.IPs, []string{"10.0.0.9"}) || result.Interfaces[0].Name != "eth0" || result.Interfaces[0].Sandbox != r.NetNS {
		t.Errorf("result is %+v", result)
	}
	var verbose struct {
		Interfaces map[string]struct{ IPConfigs []struct{ IP string } }
	}
	if err := json.Unmarshal(result.CNI, &verbose); err != nil || verbose.Interfaces["eth0"].IPConfigs[0].IP != "10.0.0.9" {
		t.Errorf("CNI result is %s", result.CNI)
	}
	if !slices.Equal(b.kernel.up, []string{r.NetNS}) {
		t.Errorf("lo is up in %v", b.kernel.up)
	}
	call := b.dir.Calls(t, "ADD")[0]
	if want := "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=" + r.Pod.ID + ";K8S_POD_UID=u"; call.Args != want {
		t.Errorf("args are %s", call.Args)
	}
	again, err := b.Attach(t.Context(), r)
	if err != nil || !slices.Equal(again.IPs, result.IPs) || len(b.dir.Calls(t, "ADD")) != 2 {
		t.Errorf("again: %v, %v, %d ADDs", again, err, len(b.dir.Calls(t, "ADD")))
	}
	if err := b.Check(t.Context(), r.Pod.ID); err != nil || len(b.dir.Calls(t, "CHECK")) != 2 {
		t.Errorf("check: %v", err)
	}
	for range 2 { // the second time for nothing
		if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
			t.Error(err)
		}
	}
	b.clean()
	if err := b.Check(t.Context(), r.Pod.ID); !errdefs.IsNotFound(err) {
		t.Errorf("check of a detached pod: %v", err)
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.ledger.SetPodCIDRs(t.Context(), []string{"10.0.0.0/24", "fd00::/64"}); err != nil {
		t.Fatal(err)
	}
	all := b.plugin("one", "10.0.0.9/24")
	all.Capabilities = map[string]bool{}
	for _, name := range []string{"portMappings", "bandwidth", "dns", "ipRanges", "aliases", "cgroupPath", "io.kubernetes.cri.pod-annotations"} {
		all.Capabilities[name] = true
	}
	b.configure("10.conflist", plugintest.Conflist("1.0.0", "net", all))
	b.restart()
	r := b.request()
	r.PortMappings = []attach.PortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "127.0.0.1"}}
	r.Bandwidth = &attach.Bandwidth{IngressRate: 1 << 60, EgressRate: 5}
	r.DNS = &attach.DNS{Servers: []string{"1.1.1.1"}, Searches: []string{"x"}}
	r.CgroupParent, r.Annotations = "/kube/pod", map[string]string{"a": "b"}
	if _, err := b.Attach(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	// A restart in between: DEL gets the same from the ledger.
	b.restart()
	if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"portMappings": `[{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"}]`,
		"bandwidth":    `{"ingressRate":1152921504606846976,"egressRate":5}`,
		"dns":          `{"servers":["1.1.1.1"],"searches":["x"]}`, "cgroupPath": `"/kube/pod"`, "aliases": `["web"]`,
		"ipRanges":                          `[[{"subnet":"10.0.0.0/24"}],[{"subnet":"fd00::/64"}]]`,
		"io.kubernetes.cri.pod-annotations": `{"a":"b"}`,
	}
	for _, call := range b.dir.Calls(t, "") {
		var got struct {
			RuntimeConfig map[string]json.RawMessage `json:"runtimeConfig"`
		}
		if err := json.Unmarshal(call.Config, &got); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if string(got.RuntimeConfig[name]) != value {
				t.Errorf("%s: %s is %s", call.Command, name, got.RuntimeConfig[name])
			}
		}
	}
}

func TestSeveralNetworks(t *testing.T) {
	t.Parallel()
	for _, serially := range []bool{false, true} {
		for preference, want := range map[string]string{
			"ipv4": "10.0.0.9 fd00::9 10.0.0.8", "ipv6": "fd00::9 10.0.0.9 10.0.0.8", "cni": "fd00::9 10.0.0.9 10.0.0.8",
		} {
			b := newBench(t, func(o *attach.Options) { o.Serially, o.IPPreference = serially, preference })
			b.configure("10.conflist", plugintest.Conflist("1.0.0", "a", b.plugin("one", "fd00::9/64", "10.0.0.9/24", "10.0.0.8/24")))
			b.configure("20.conflist", plugintest.Conflist("1.0.0", "b", b.plugin("two", "192.168.0.9/24")))
			b.restart()
			r := b.request()
			result, err := b.Attach(t.Context(), r)
			if err != nil || strings.Join(result.IPs, " ") != want {
				t.Errorf("%s: %v, %v", preference, result, err)
			}
			if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
				t.Error(err)
			}
			if dels := b.dir.Calls(t, "DEL"); len(dels) != 2 || dels[0].Interface != "eth1" || dels[1].Interface != "eth0" {
				t.Errorf("DELs: %+v", dels)
			}
			b.clean()
		}
	}
}

func TestFailureIsUndone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(*bench)
		says    string
		kind    func(error) bool
	}{
		"plugin fails": {func(b *bench) { b.dir.Fail(b.t, "ADD", types.NewError(100, "full", "")) }, `network "net": plugin "one": ADD: full`, nil},
		"not ready":    {func(b *bench) { b.dir.Fail(b.t, "ADD", types.NewError(11, "later", "")) }, "later", errdefs.IsUnavailable},
		"no address": {func(b *bench) {
			b.configure("10.conflist", plugintest.Conflist("1.0.0", "net", b.plugin("one")))
			b.restart()
		}, `network "net" has given eth0 no address`, nil},
		"no network": {func(b *bench) { b.configure("10.conflist", []byte("{")); b.restart() }, "10.conflist", errdefs.IsUnavailable},
		"deadline": {func(b *bench) {
			b.options.AttachTimeout = 100 * time.Millisecond
			b.restart()
			b.dir.Block(b.t, "ADD")
		}, `plugin "one": ADD`, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			test.prepare(b)
			_, err := b.Attach(t.Context(), b.request())
			if err == nil || !strings.Contains(err.Error(), test.says) || test.kind != nil && !test.kind(err) {
				t.Errorf("error is %v", err)
			}
			b.clean()
		})
	}
}

// TestRetryAfterFailedUndo has an Attach that finds what an earlier one could
// not undo.
func TestRetryAfterFailedUndo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mendAdd := b.dir.Fail(t, "ADD", types.NewError(100, "cannot add", ""))
	mendDel := b.dir.Fail(t, "DEL", types.NewError(100, "cannot delete", ""))
	r := b.request()
	if _, err := b.Attach(t.Context(), r); err == nil || !strings.Contains(err.Error(), "cannot delete") {
		t.Errorf("error is %v", err)
	}
	mendAdd()
	if _, err := b.Attach(t.Context(), r); err == nil || !strings.Contains(err.Error(), "earlier") || len(b.dir.Calls(t, "ADD")) != 1 {
		t.Errorf("ADD on top of a leftover: %v", err)
	}
	mendDel()
	if _, err := b.Attach(t.Context(), r); err != nil {
		t.Error(err)
	}
	if entry, err := b.ledger.Get(r.Pod.ID); err != nil || entry.State != ledger.Attached {
		t.Errorf("entry is %+v, %v", entry, err)
	}
}

func TestDetachUsesTheConfigurationOfAttach(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.attached()
	if err := os.RemoveAll(b.conf); err != nil {
		t.Fatal(err)
	}
	// Also libcni's own memory may be lost, and the netns.
	if err := os.RemoveAll(filepath.Join(b.root, "cni")); err != nil {
		t.Fatal(err)
	}
	b.kernel.gone[r.NetNS] = true
	b.restart()
	if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
		t.Fatal(err)
	}
	if del := b.dir.Calls(t, "DEL")[0]; del.NetNS != "" || del.ContainerID != r.Pod.ID {
		t.Errorf("DEL got %+v", del)
	}
	b.clean()
}

// TestLedgerLost has a pod of which only libcni's cache knows.
func TestLedgerLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.attached()
	b.stop()
	if err := os.Remove(filepath.Join(b.root, ledger.File)); err != nil {
		t.Fatal(err)
	}
	b.start()
	if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
		t.Fatal(err)
	}
	if del := b.dir.Calls(t, "DEL"); len(del) != 2 || del[0].NetNS != r.NetNS || !strings.Contains(del[0].Args, "K8S_POD_NAME=web") {
		t.Errorf("DELs: %+v", del)
	}
	b.clean()
}

func TestRequestIsChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for field, edit := range map[string]func(*attach.Request){
		"pod id":        func(r *attach.Request) { r.Pod.ID = "../x" },
		"pod namespace": func(r *attach.Request) { r.Pod.Namespace = "a;b" },
		"pod uid":       func(r *attach.Request) { r.Pod.UID = "a=b" },
		"protocol":      func(r *attach.Request) { r.PortMappings = []attach.PortMapping{{HostPort: 1, ContainerPort: 1}} },
		"network":       func(r *attach.Request) { r.Group = "/other" },
	} {
		r := b.request()
		edit(&r)
		if _, err := b.Attach(t.Context(), r); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := b.Detach(t.Context(), ""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("detach of nothing: %v", err)
	}
	if len(b.dir.Calls(t, "")) != 0 {
		t.Error("a plugin ran")
	}
	b.clean()
}
