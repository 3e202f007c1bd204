//go:build e2e

package e2e_test

import (
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
)

// TestOperatorsDefaults: sysctls, inheritable capabilities and read-only roots
// of all pods, as the kernel sees them.
func TestOperatorsDefaults(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	group := ownGroup(t, func(c *config.Config) {
		c.Runtime.DefaultSysctls = []string{"net.core.somaxconn=77", "kernel.shmmni=55", "net.ipv4.ip_unprivileged_port_start = 99"}
		c.Runtime.ReadOnly, c.Runtime.AddInheritableCaps = true, true
	})
	pod := runPod(t, group.CRI, "defaults", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"net/core/somaxconn": "88"}
	})
	c := need(pod.Run(ctx, "server"))(t)
	for script, want := range map[string]string{
		"cat /proc/sys/net/core/somaxconn":                     "88\n",
		"cat /proc/sys/kernel/shmmni":                          "55\n",
		"cat /proc/sys/net/ipv4/ip_unprivileged_port_start":    "99\n",
		"touch /etc/x 2>/dev/null || echo no":                  "no\n",
		"touch /run/x /tmp/x /var/tmp/x && stat -c %a /tmp":    "1777\n",
		"cp /bin/true /tmp/ && /tmp/true 2>/dev/null; echo $?": "126\n",
	} {
		if out := need(c.Output(ctx, script))(t); out != want {
			t.Errorf("%s says %q, want %q", script, out, want)
		}
	}
	sets := strings.Fields(need(c.Output(ctx, "grep -E 'CapInh|CapBnd' /proc/1/status"))(t))
	if len(sets) != 4 || sets[1] != sets[3] || strings.Trim(sets[1], "0") == "" {
		t.Errorf("inheritable and bounding: %q", sets)
	}
}
