//go:build e2e

package e2e_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

func TestPodLife(t *testing.T) {
	ctx, group := limit(t, 2*time.Minute), stage.Group
	before := need(group.Residue(ctx))(t)

	pod := need(group.RunPod(ctx, "life"))(t)
	status := need(pod.Status(ctx))(t)
	if status.GetState() != runtimeapi.PodSandboxState_SANDBOX_READY {
		t.Errorf("state of the pod is %s", status.GetState())
	}
	if net.ParseIP(status.GetNetwork().GetIp()) == nil {
		t.Errorf("address of the pod is %q", status.GetNetwork().GetIp())
	}

	container := need(pod.Create(ctx, "main", harness.Shell(
		`echo to stdout; echo to stderr >&2; trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 1 & wait $!; done`)))(t)
	if state := need(container.Status(ctx))(t).GetState(); state != runtimeapi.ContainerState_CONTAINER_CREATED {
		t.Errorf("state after create is %s", state)
	}
	ok(t, container.Start(ctx))
	ok(t, container.AwaitLog(ctx, "ready"))
	if state := need(container.Status(ctx))(t).GetState(); state != runtimeapi.ContainerState_CONTAINER_RUNNING {
		t.Errorf("state after start is %s", state)
	}
	inside := need(container.Output(ctx, "hostname; ip -4 -o addr show eth0"))(t)
	if !strings.HasPrefix(inside, "life\n") || !strings.Contains(inside, status.GetNetwork().GetIp()+"/") {
		t.Errorf("the container sees %q", inside)
	}

	ok(t, container.Stop(ctx, 10*time.Second))
	exited := need(container.Status(ctx))(t)
	if exited.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || exited.GetExitCode() != 3 {
		t.Errorf("after stop: state %s, exit code %d", exited.GetState(), exited.GetExitCode())
	}
	streams := make(map[string]string)
	for _, line := range need(harness.ReadLog(container.LogPath))(t) {
		streams[line.Text] = line.Stream
	}
	for text, want := range map[string]string{"to stdout": "stdout", "to stderr": "stderr", "ready": "stdout", "bye": "stdout"} {
		if streams[text] != want {
			t.Errorf("the log has %q on %q, want %q", text, streams[text], want)
		}
	}
	ok(t, container.Remove(ctx))
	ok(t, pod.Stop(ctx))
	if state := need(pod.Status(ctx))(t).GetState(); state != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("state of the stopped pod is %s", state)
	}
	ok(t, pod.Remove(ctx))
	ok(t, group.AwaitNoResidue(ctx, before))
}

func TestExitCodes(t *testing.T) {
	ctx := limit(t, time.Minute)
	pod := runPod(t, stage.CRI(), "exits")
	for script, want := range map[string]struct {
		code   int32
		reason string
	}{
		"exit 0":                         {0, "Completed"},
		"exit 42":                        {42, "Error"},
		"sleep 99 & kill -9 $!; wait $!": {137, "Error"}, // the first process itself is immune
		"nosuchthing7":                   {127, "Error"},
	} {
		name := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '-'
		}, script)
		container := need(pod.Run(ctx, name, harness.Shell(script)))(t)
		status := need(container.AwaitExit(ctx))(t)
		if status.GetExitCode() != want.code || status.GetReason() != want.reason {
			t.Errorf("%q: exit code %d, reason %s; want %d, %s", script, status.GetExitCode(), status.GetReason(), want.code, want.reason)
		}
		if status.GetFinishedAt() < status.GetStartedAt() || status.GetStartedAt() < status.GetCreatedAt() {
			t.Errorf("%q: created %d, started %d, finished %d", script, status.GetCreatedAt(), status.GetStartedAt(), status.GetFinishedAt())
		}
	}
}

func TestHostNetwork(t *testing.T) {
	ctx := limit(t, time.Minute)
	pod := runPod(t, stage.CRI(), "hostnet", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
		c.Hostname = ""
	})
	container := need(pod.Run(ctx, "main", func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_CONTAINER},
		}
	}))(t)
	// A listener on the host's loopback is in the container's table of sockets.
	listener := need(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port
	if table := need(container.Output(ctx, "cat /proc/net/tcp"))(t); !strings.Contains(table, "0100007F:"+strings.ToUpper(strconv.FormatInt(int64(port), 16))) {
		t.Errorf("port %d of the host is not in the container's %s", port, table)
	}
}

func TestSharedPID(t *testing.T) {
	ctx := limit(t, time.Minute)
	shared := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD}
	pod := runPod(t, stage.CRI(), "sharedpid", func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions = shared
	})
	share := func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: shared}
	}
	need(pod.Run(ctx, "sleeper", harness.Shell("exec sleep 98765"), share))(t)
	other := need(pod.Run(ctx, "other", share))(t)
	seen := need(other.Output(ctx, "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done"))(t)
	if !strings.Contains(seen, "sleep 98765") {
		t.Errorf("the other container's process is not among\n%s", seen)
	}
	if one := need(other.Output(ctx, "tr '\\0' ' ' < /proc/1/cmdline"))(t); !strings.Contains(one, "pause") {
		t.Errorf("process 1 is %q, want the pause program", one)
	}
}

func TestOtherRuntimeHandler(t *testing.T) {
	ctx, cri := limit(t, time.Minute), stage.CRI()
	cfg := need(cri.PodConfig("crun"))(t)
	pod := need(cri.RunPodConfig(ctx, cfg, "crun"))(t)
	defer func() { ok(t, pod.Remove(ctx)) }()
	container := need(pod.Run(ctx, "main"))(t)
	if out := need(container.Output(ctx, "echo it runs"))(t); out != "it runs\n" {
		t.Errorf("output is %q", out)
	}
	if handler := need(pod.Status(ctx))(t).GetRuntimeHandler(); handler != "crun" {
		t.Errorf("runtime handler is %q", handler)
	}
}

// TestEnvironment looks at what every container gets beside its own image.
func TestEnvironment(t *testing.T) {
	ctx := limit(t, time.Minute)
	pod := runPod(t, stage.CRI(), "environment", func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"svc.cluster.local"}, Options: []string{"ndots:5"}}
	})
	container := need(pod.Run(ctx, "main", func(c *runtimeapi.ContainerConfig) {
		c.Envs = []*runtimeapi.KeyValue{{Key: "COLOUR", Value: []byte("green")}}
		c.WorkingDir = "/tmp"
		c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{MaskedPaths: []string{"/proc/timer_list"}}
	}))(t)
	for script, want := range map[string]string{
		"cat /etc/resolv.conf": "search svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
		"echo $COLOUR":         "green\n",
		"pwd":                  "/tmp\n",
		"hostname":             "environment\n",
		"grep -c ' /dev/shm tmpfs ' /proc/mounts":                  "1\n",
		"cat /proc/sys/kernel/hostname":                            "environment\n",
		"touch /proc/sys/x 2>/dev/null || echo read-only":          "read-only\n",
		"wc -c < /proc/timer_list":                                 "0\n",
		"grep '^Seccomp:' /proc/self/status | tr -s '\\t ' ' '":    "Seccomp: 0\n",
		"grep '^CapEff:' /proc/self/status | tr -s '\\t ' ' '":     "CapEff: 00000000a80425fb\n",
		"grep '^NoNewPrivs:' /proc/self/status | tr -s '\\t ' ' '": "NoNewPrivs: 0\n",
	} {
		if got := need(container.Output(ctx, script))(t); got != want {
			t.Errorf("%s gives %q, want %q", script, got, want)
		}
	}
}
