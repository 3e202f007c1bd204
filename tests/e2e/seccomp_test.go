//go:build e2e

package e2e_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// forbidden is what the default seccomp profile does not allow.
const forbidden = "swapoff /etc/passwd 2>&1 || :"

func defaultProfile(c *runtimeapi.ContainerConfig) {
	c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{
		Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
	}
}

func annotations(all map[string]string) harness.PodEdit {
	return func(c *runtimeapi.PodSandboxConfig) {
		if c.Annotations == nil {
			c.Annotations = make(map[string]string)
		}
		maps.Copy(c.Annotations, all)
	}
}

func allow(names ...string) func(*config.Config) {
	return func(c *config.Config) {
		for name, handler := range c.Runtime.Handlers {
			handler.AllowedAnnotations = names
			c.Runtime.Handlers[name] = handler
		}
	}
}

// TestSeccompNotifier: a container that uses what is forbidden is killed for it,
// or only told of, also over a death of runtime.
func TestSeccompNotifier(t *testing.T) {
	ctx := limit(t, 3*time.Minute)
	group := ownGroup(t, allow("seccomp-notifier-action.crio.io"))
	fails := func(c *harness.Container, say string) {
		t.Helper()
		if out := need(c.Output(ctx, forbidden))(t); !strings.Contains(out, say) {
			t.Errorf("it says %q, want %q", out, say)
		}
	}
	used := func(c *harness.Container, want string) {
		t.Helper()
		reply, err := group.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
		ok(t, err)
		if info := reply.GetInfo()["info"]; !strings.Contains(info, `"forbiddenSyscalls":`+want) {
			t.Errorf("verbose status has not %s: %.300s", want, info)
		}
	}
	const absent, denied = "Function not implemented", "Operation not permitted"
	stop := runPod(t, group.CRI, "stop", annotations(map[string]string{"seccomp-notifier-action.crio.io": "stop"}))
	tell := runPod(t, group.CRI, "tell", annotations(map[string]string{"io.kubernetes.cri-o.seccompNotifierAction": ""}))
	told := need(tell.Run(ctx, "told", defaultProfile, harness.Shell("sleep 1; while sleep 1; do "+forbidden+"; done")))(t)
	other := need(tell.Create(ctx, "later", defaultProfile))(t)
	plain := need(runPod(t, group.CRI, "plain").Run(ctx, "plain", defaultProfile))(t)
	fails(plain, denied)
	used(plain, "null")

	killed := need(stop.Run(ctx, "killed", defaultProfile))(t)
	threads := need(stop.Run(ctx, "spared", defaultProfile))(t)
	fails(killed, absent)
	fails(killed, absent)
	old := need(group.Kill(ctx, "runtime"))(t)
	ok(t, group.AwaitGeneration(ctx, old))
	fails(told, absent) // the filter of a new process, which is heard of
	ok(t, other.Start(ctx))
	fails(other, absent)
	used(other, `{"swapoff":1}`)
	status := need(killed.AwaitExit(ctx))(t)
	if status.GetReason() != "seccomp killed" || status.GetExitCode() != 137 || !strings.HasPrefix(status.GetMessage(), "Used forbidden syscalls: swapoff (") {
		t.Errorf("killed: %v", status)
	}
	for name, c := range map[string]*harness.Container{"told": told, "spared": threads, "plain": plain} {
		if status := need(c.Status(ctx))(t); status.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("%s: %v", name, status)
		}
	}
}

// TestSeccompAnnotation: a profile that the pod names for one of its containers,
// also one in an OCI artifact.
func TestSeccompAnnotation(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	group := ownGroup(t, allow("seccomp-profile.crio.io"))
	pod := runPod(t, group.CRI, "annotated", annotations(map[string]string{
		"seccomp-profile.kubernetes.cri-o.io/one": "runtime/default",
		"seccomp-profile.crio.io/three":           "docker.io/test/profile:1", "seccomp-profile.crio.io/four": "docker.io/test/profile:none",
	}))
	for name, want := range map[string]string{"one": "Seccomp: 2", "two": "Seccomp: 0"} {
		c := need(pod.Run(ctx, name))(t)
		if out := need(c.Output(ctx, "grep '^Seccomp:' /proc/1/status | tr '\\t' ' '"))(t); strings.TrimSpace(out) != want {
			t.Errorf("%s has %q, want %q", name, out, want)
		}
	}
	profile := []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
		{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}`)
	ok(t, push(ctx, stage.Lab.Registry, "docker.io/test/profile", "1", ocispec.Manifest{
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{described("application/json", profile)},
	}, profile, ocispec.DescriptorEmptyJSON.Data))
	c := need(pod.Run(ctx, "three"))(t)
	if out := need(c.Output(ctx, "mkdir /tmp/new 2>&1 || :"))(t); !strings.Contains(out, "cross-device") {
		t.Errorf("the artifact's profile lets it, or says otherwise: %q", out)
	}
	_, err := pod.Create(ctx, "four")
	says(t, err, "NotFound", "seccomp-profile.crio.io/four", "docker.io/test/profile:none")
}
