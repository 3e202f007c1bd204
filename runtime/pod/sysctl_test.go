package pod_test

import (
	"maps"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestDefaultSysctls(t *testing.T) {
	t.Parallel()
	defaults := &config.Runtime{DefaultSysctls: []string{
		"net.core.somaxconn=7", "net/ipv4/ip_forward = 1", "kernel.shmmax=9", "kernel.domainname=here", "net.ipv4.ping_group_range=0   2147483647",
	}}
	const pings = "0   2147483647"
	all := map[string]string{
		"net.core.somaxconn": "7", "net/ipv4/ip_forward": "1", "kernel.shmmax": "9", "kernel.domainname": "here", "net.ipv4.ping_group_range": pings,
	}
	with := func(changes map[string]string, without ...string) map[string]string {
		changed := maps.Clone(all)
		for _, key := range without {
			delete(changed, key)
		}
		maps.Copy(changed, changes)
		return changed
	}
	network := []string{"net.core.somaxconn", "net/ipv4/ip_forward", "kernel.domainname", "net.ipv4.ping_group_range"}
	for name, test := range map[string]struct {
		edit func(*runtimeapi.LinuxPodSandboxConfig, *runtimeapi.NamespaceOption)
		want map[string]string
	}{
		"all": {func(*runtimeapi.LinuxPodSandboxConfig, *runtimeapi.NamespaceOption) {}, all},
		"the pod's win, however they are spelled": {
			func(l *runtimeapi.LinuxPodSandboxConfig, _ *runtimeapi.NamespaceOption) {
				l.Sysctls = map[string]string{"net/core/somaxconn": "8", "kernel.shmmni": "5"}
			},
			with(map[string]string{"net/core/somaxconn": "8", "kernel.shmmni": "5"}, "net.core.somaxconn"),
		},
		"host network": {
			func(_ *runtimeapi.LinuxPodSandboxConfig, o *runtimeapi.NamespaceOption) {
				o.Network = runtimeapi.NamespaceMode_NODE
			},
			with(nil, network...),
		},
		"host IPC": {
			func(_ *runtimeapi.LinuxPodSandboxConfig, o *runtimeapi.NamespaceOption) {
				o.Ipc = runtimeapi.NamespaceMode_NODE
			},
			with(nil, "kernel.shmmax"),
		},
		"all of the host's": {
			func(_ *runtimeapi.LinuxPodSandboxConfig, o *runtimeapi.NamespaceOption) {
				o.Network, o.Ipc = runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_NODE
			},
			map[string]string{},
		},
		"user namespace": {
			func(_ *runtimeapi.LinuxPodSandboxConfig, o *runtimeapi.NamespaceOption) {
				ids := []*runtimeapi.IDMapping{{HostId: 70000, Length: 1024}}
				o.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}
			},
			with(map[string]string{"net.ipv4.ping_group_range": "0 1023"}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := podtest.Sandbox("web")
			test.edit(cfg.Linux, cfg.Linux.SecurityContext.NamespaceOptions)
			if got := pod.Sysctls(cfg, defaults); !maps.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			// They are set in the pod's namespaces, if it has any.
			w := podtest.New()
			deps := w.Deps()
			deps.Config.DefaultSysctls = defaults.DefaultSysctls
			s := pod.New(deps)
			t.Cleanup(s.Close)
			p := run(t, s, cfg)
			if pin, _ := w.Pins.Get(p.ID); !maps.Equal(pin.Request.Sysctls, test.want) {
				t.Errorf("set are %q, want %q", pin.Request.Sysctls, test.want)
			}
		})
	}
}
