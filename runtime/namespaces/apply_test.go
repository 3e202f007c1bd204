package namespaces_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/namespaces"
)

// Ids in a value are the pod's own.
func TestPingGroupRange(t *testing.T) {
	t.Parallel()
	pins, _ := newPins(t)
	for value, want := range map[string]string{"0 100": "300000 300100", "5 4": "1 0"} {
		r := everything("", true)
		r.Sysctls = map[string]string{"net.ipv4.ping_group_range": value}
		_, paths := create(t, pins, r)
		if got := sysctl(t, paths, "net/ipv4/ping_group_range"); got != want {
			t.Errorf("%q became %q, want %q", value, got, want)
		}
	}
}

func TestExplicitSysctlsWin(t *testing.T) {
	t.Parallel()
	pins, _ := newPins(t)
	for _, separator := range []string{".", "/"} {
		r := everything("", false)
		r.Sysctls = map[string]string{
			strings.ReplaceAll("net.ipv4.ip_unprivileged_port_start", ".", separator): "80",
			strings.ReplaceAll("net.ipv4.ping_group_range", ".", separator):           "7 8",
		}
		_, paths := create(t, pins, r)
		for path, want := range map[string]string{"net/ipv4/ip_unprivileged_port_start": "80", "net/ipv4/ping_group_range": "7 8"} {
			if got := sysctl(t, paths, path); got != want {
				t.Errorf("with %q: %s is %q, want %q", separator, path, got, want)
			}
		}
	}
}

func TestDefaultsOff(t *testing.T) {
	t.Parallel()
	pins, _ := newPins(t)
	_, paths := create(t, pins, namespaces.Request{Net: true})
	for path, want := range map[string]string{"net/ipv4/ip_unprivileged_port_start": "1024", "net/ipv4/ping_group_range": "1 0"} {
		if got := sysctl(t, paths, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

// Each namespace can be had alone, and the others are then the host's.
func TestSingleNamespaces(t *testing.T) {
	t.Parallel()
	pins, _ := newPins(t)
	for _, r := range []namespaces.Request{{Net: true}, {IPC: true}, {UTS: true}, {UIDs: ids(200000), GIDs: ids(200000)}} {
		_, paths := create(t, pins, r)
		got := [4]bool{paths.Net != "", paths.IPC != "", paths.UTS != "", paths.User != ""}
		if want := [4]bool{r.Net, r.IPC, r.UTS, len(r.UIDs) > 0}; got != want {
			t.Errorf("paths %+v of %+v", paths, r)
		}
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	pins, _ := newPins(t)
	id, paths := create(t, pins, everything("", true))
	r := everything(id, true)
	r.Sysctls = map[string]string{"net.ipv4.conf.lo.forwarding": "1", "kernel.shmmni": "17", "net.ipv4.ping_group_range": "1 2"}
	if err := pins.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"net/ipv4/conf/lo/forwarding": "1", "kernel/shmmni": "17", "net/ipv4/ping_group_range": "300001 300002"} {
		if got := sysctl(t, paths, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	r.Sysctls = map[string]string{"net.ipv4.conf.none.forwarding": "1"}
	wantError(t, pins.Apply(t.Context(), r), errdefs.ErrInvalidArgument, "net.ipv4.conf.none.forwarding", `"1"`, "no such file")
	r.ID = ident.New()
	wantError(t, pins.Apply(t.Context(), r), errdefs.ErrNotFound, r.ID)
	r.Sysctls = nil
	if err := pins.Apply(t.Context(), r); err != nil {
		t.Errorf("nothing to set: %v", err)
	}
}
