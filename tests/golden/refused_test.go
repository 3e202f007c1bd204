//go:build e2e

package golden_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// refusal is a request that cannot be fulfilled.
type refusal struct {
	request
	pod  func(*runtimeapi.PodSandboxConfig) // a pod of its own is asked for, instead of a container
	says []string                           // field and value
	code codes.Code                         // of Trivet; InvalidArgument if OK
	// lenient is why the built-in plugin takes it, or fails only when the
	// container starts; empty if it refuses as well.
	lenient string
}

// TestRefused sends each request to both sides. Trivet must refuse it, naming
// field and value, and leave nothing behind; what the built-in plugin does is
// as listed.
func TestRefused(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(refusals)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			r := refusals[name]
			if r.code == codes.OK {
				r.code = codes.InvalidArgument
			}
			err := trivet.try(ctx, name, r)
			if err == nil {
				t.Fatal("Trivet takes it")
			}
			if got := status.Code(unwrapped(err)); got != r.code {
				t.Errorf("Trivet refuses by %s, want %s: %v", got, r.code, err)
			}
			for _, part := range r.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("Trivet does not say %q: %v", part, err)
				}
			}
			switch err := builtIn.try(ctx, name, r); {
			case err == nil && r.lenient == "":
				t.Errorf("the built-in plugin takes it")
			case err != nil && r.lenient != "":
				t.Errorf("the built-in plugin refuses it as well: %v", err)
			}
		})
	}
}

// try makes what is asked for and removes it again.
func (s *side) try(ctx context.Context, name string, r refusal) error {
	if r.pod == nil {
		if r.request.pod == "" {
			r.request.pod = "plain"
		}
		container, err := s.create(ctx, "bad "+name, r.request)
		if err != nil {
			return err
		}
		return s.mustRemove(container.Remove(ctx))
	}
	cfg := s.podConfig("plain")
	cfg.Metadata.Uid, cfg.Metadata.Name = "uid-of-bad", "bad"
	r.pod(cfg)
	reply, err := s.cri.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg})
	if err != nil {
		return err
	}
	_, stopped := s.cri.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: reply.GetPodSandboxId()})
	_, removed := s.cri.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: reply.GetPodSandboxId()})
	return s.mustRemove(errors.Join(stopped, removed))
}

// mustRemove ends the process: nothing after it would be worth anything.
func (s *side) mustRemove(err error) error {
	if err != nil {
		panic(fmt.Sprintf("%s: remove what was made of a bad request: %v", s.name, err))
	}
	return nil
}

// unwrapped is the status error inside err.
func unwrapped(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if _, ok := inner.(interface{ GRPCStatus() *status.Status }); ok {
			return inner
		}
	}
	return err
}

func bad(edit func(*runtimeapi.ContainerConfig), says ...string) refusal {
	return refusal{request: request{edit: edit}, says: says}
}

// badHere is a request that only this machine or pod cannot fulfil.
func badHere(edit func(*runtimeapi.ContainerConfig), says ...string) refusal {
	return refusal{request: request{edit: edit}, says: says, code: codes.FailedPrecondition}
}

func missing(edit func(*runtimeapi.ContainerConfig), says ...string) refusal {
	return refusal{request: request{edit: edit}, says: says, code: codes.NotFound}
}

func badPod(edit func(*runtimeapi.PodSandboxConfig), says ...string) refusal {
	return refusal{pod: edit, says: says}
}

// taken marks what the built-in plugin takes.
func (r refusal) taken(why string) refusal {
	r.lenient = why
	return r
}

func (r refusal) in(pod string) refusal {
	r.request.pod = pod
	return r
}

// sandbox edits a pod's security context.
func sandbox(edit func(*runtimeapi.LinuxSandboxSecurityContext)) func(*runtimeapi.PodSandboxConfig) {
	return func(c *runtimeapi.PodSandboxConfig) { edit(c.Linux.SecurityContext) }
}

func userns(edit func(*runtimeapi.UserNamespace)) func(*runtimeapi.PodSandboxConfig) {
	return func(c *runtimeapi.PodSandboxConfig) {
		userNamespace(c)
		edit(c.Linux.SecurityContext.NamespaceOptions.UsernsOptions)
	}
}

const (
	later   = "it fails when the container starts"
	trusted = "what it does not check it hands on, cut to its size or as it is"
)

var refusals = map[string]refusal{
	"user, negative":             bad(uid(-1), "run_as_user", "-1"),
	"user, too large":            bad(uid(1<<32), "run_as_user", "4294967296"),
	"group, negative":            bad(edits(uid(1), gid(-5)), "group", "-5"),
	"group without user":         bad(gid(5), "run_as_group", "5"),
	"user name, unknown":         bad(username("nobody-knows"), "run_as_username", "nobody-knows"),
	"user name, with colon":      bad(username("mail:mail"), "run_as_username", "mail:mail").taken("it reads user:group"),
	"supplemental group":         bad(groups(merge, -1), "supplemental_groups", "-1").taken(trusted),
	"supplemental groups policy": bad(groups(7), "supplemental_groups_policy", "7"),

	"seccomp, no file":         badHere(seccomp(localhost, "missing.json"), "seccomp", "missing.json"),
	"seccomp, broken file":     badHere(seccomp(localhost, "broken.json"), "seccomp", "broken.json"),
	"seccomp, relative path":   bad(seccompRef(localhost, "profiles/x.json"), "seccomp", "profiles/x.json"),
	"seccomp, no path":         bad(seccompRef(localhost, ""), "seccomp", "localhost_ref"),
	"seccomp, path for other":  bad(seccompRef(runtimeDefault, "/x.json"), "seccomp", "/x.json"),
	"seccomp, unknown kind":    bad(seccompRef(9, ""), "seccomp", "9"),
	"seccomp, old and unknown": bad(oldSeccomp("some/thing", false), "seccomp_profile_path", "some/thing"),
	"apparmor, default":        badHere(apparmor(runtimeDefault, ""), "apparmor", "RuntimeDefault"),
	"apparmor, by name":        badHere(apparmor(localhost, "localhost/mine"), "apparmor", "Localhost"),

	"capability, unknown":         bad(capabilities(list("FLYING"), nil, nil), "add_capabilities[0]", "FLYING").taken("the OCI runtime leaves out what it does not know"),
	"capability, unknown ambient": bad(capabilities(nil, nil, list("FLYING")), "capabilities", "FLYING").taken("it takes no notice of the field"),
	"privileged in other pod":     bad(makePrivileged, "privileged", "true"),

	"mount, relative target": bad(mount("volume", "mnt/a"), "mounts[0].container_path", "mnt/a").taken(later),
	"mount, relative source": bad(func(c *runtimeapi.ContainerConfig) {
		c.Mounts = []*runtimeapi.Mount{{HostPath: "a/b", ContainerPath: "/mnt"}}
	}, "mounts[0].host_path", "a/b").taken("it makes the directory where it runs itself"),
	"mount, unknown propagation": bad(mount("volume", "/mnt/a", func(m *runtimeapi.Mount) { m.Propagation = 9 }), "mounts[0].propagation", "9").taken("it takes it for private"),
	"mount, to private host":     badHere(mount("private", "/mnt/a", toHost), "mounts[0].propagation", "private"),
	"mount, from private host":   badHere(mount("private", "/mnt/a", fromHost), "mounts[0].propagation", "private"),
	"mount, to host of slave":    badHere(mount("slave", "/mnt/a", toHost), "mounts[0].propagation", "slave"),
	"mount, recursive, writable": bad(mount("volume", "/mnt/a", recursive), "mounts[0].recursive_read_only", "true"),
	"mount, recursive, shared":   bad(mount("shared", "/mnt/a", readonly, recursive, toHost), "mounts[0].recursive_read_only", "true"),
	"mount, source below file":   bad(mount("file/below", "/mnt/a"), "mounts[0].host_path", "file/below"),
	"mount, unknown option":      bad(mount("volume", "/mnt/a", func(m *runtimeapi.Mount) { m.MountOptions = list("exec") }), "mount_options", "exec").taken("it does not know the field"),

	"device, missing":         bad(device("/dev/trivet-no-such", "/dev/x", "rw"), "devices[0].host_path", "/dev/trivet-no-such"),
	"device, a file":          bad(device("/etc/passwd", "/dev/x", "rw"), "devices[0].host_path", "/etc/passwd"),
	"device, permissions":     bad(device("/dev/null", "/dev/x", "rx"), "devices[0].permissions", "rx").taken(later),
	"device, relative target": bad(device("/dev/null", "dev/x", "rw"), "devices[0].container_path", "dev/x").taken(later),
	"CDI, unknown":            bad(cdiDevices("vendor.example/device=none"), "CDI_devices", "vendor.example/device=none"),
	"CDI, no name":            bad(cdiDevices("not a name"), "CDI_devices", "not a name"),
	"CDI, annotation":         bad(annotated("cdi.k8s.io/vendor", "not a name"), "annotations", "not a name"),

	"working directory":    bad(func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "srv" }, "working_dir", "srv").taken(later),
	"stop signal":          bad(func(c *runtimeapi.ContainerConfig) { c.StopSignal = 99 }, "stop_signal", "99"),
	"metadata":             bad(func(c *runtimeapi.ContainerConfig) { c.Metadata = nil }, "metadata"),
	"log path leads out":   bad(func(c *runtimeapi.ContainerConfig) { c.LogPath = "../../x.log" }, "log_path", "../../x.log").taken("it trusts the kubelet with paths of logs"),
	"image":                missing(harness.Image("registry.k8s.io/never/pulled:1"), "registry.k8s.io/never/pulled:1"),
	"oom score":            bad(limits(&runtimeapi.LinuxContainerResources{OomScoreAdj: 1001}), "oom_score_adj", "1001").taken(later),
	"cpuset":               bad(limits(&runtimeapi.LinuxContainerResources{CpusetCpus: "two"}), "cpuset_cpus", "two").taken(later),
	"swap without memory":  bad(limits(&runtimeapi.LinuxContainerResources{MemorySwapLimitInBytes: 96 << 20}), "memory_swap_limit_in_bytes", "100663296").taken(later),
	"unified on cgroup v1": badHere(limits(&runtimeapi.LinuxContainerResources{Unified: map[string]string{"memory.high": "1"}}), "unified", "memory.high").taken("the OCI runtime fails, or ignores it"),
	"memory, negative":     bad(limits(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: -5}), "memory_limit_in_bytes", "-5").taken(later),
	"cpu period, negative": bad(limits(&runtimeapi.LinuxContainerResources{CpuPeriod: -5}), "cpu_period", "-5").taken(later),
	"target, unknown":      missing(edits(pidMode(runtimeapi.NamespaceMode_TARGET), as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.NamespaceOptions.TargetId = "0123456789abcdef" })), "target_id", "0123456789abcdef"),
	"user namespace of its own": bad(as(func(sc *runtimeapi.LinuxContainerSecurityContext) {
		sc.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: idRange(0, 700000, 65536), Gids: idRange(0, 700000, 65536)}
	}), "userns_options", "700000"),
	"user outside of namespace": bad(uid(70000), "run_as_user", "70000").in("user-namespace").taken(later),

	"pod: user": badPod(sandbox(func(sc *runtimeapi.LinuxSandboxSecurityContext) { sc.RunAsUser = number(-1) }), "run_as_user", "-1"),
	"pod: group": badPod(sandbox(func(sc *runtimeapi.LinuxSandboxSecurityContext) {
		sc.RunAsUser, sc.RunAsGroup = number(1), number(1<<33)
	}), "group", "8589934592"),
	"pod: seccomp, relative": badPod(sandbox(func(sc *runtimeapi.LinuxSandboxSecurityContext) {
		sc.Seccomp = &runtimeapi.SecurityProfile{ProfileType: localhost, LocalhostRef: "x.json"}
	}), "seccomp", "x.json"),
	"pod: seccomp, kind": badPod(sandbox(func(sc *runtimeapi.LinuxSandboxSecurityContext) {
		sc.Seccomp = &runtimeapi.SecurityProfile{ProfileType: 9}
	}), "seccomp", "9"),
	"pod: user namespace, mode":  badPod(userns(func(u *runtimeapi.UserNamespace) { u.Mode = runtimeapi.NamespaceMode_CONTAINER }), "userns_options.mode", "CONTAINER"),
	"pod: user namespace, none":  badPod(userns(func(u *runtimeapi.UserNamespace) { u.Uids = nil }), "userns_options", "not 0 and 1"),
	"pod: user namespace, empty": badPod(userns(func(u *runtimeapi.UserNamespace) { u.Uids[0].Length = 0 }), "uids[0].length", "maps nothing"),
	"pod: user namespace, overlap": badPod(userns(func(u *runtimeapi.UserNamespace) {
		u.Uids = append(u.Uids, &runtimeapi.IDMapping{ContainerId: 100, HostId: 655460, Length: 10})
	}), "uids[1].host_id", "overlaps"),
	"pod: user namespace, too far":        badPod(userns(func(u *runtimeapi.UserNamespace) { u.Uids[0].HostId = 1<<32 - 10 }), "userns_options", "4294967286"),
	"pod: user namespace of node, mapped": badPod(userns(func(u *runtimeapi.UserNamespace) { u.Mode = runtimeapi.NamespaceMode_NODE }), "userns_options.mode", "NODE"),
	"pod: network mode": badPod(sandbox(func(sc *runtimeapi.LinuxSandboxSecurityContext) {
		sc.NamespaceOptions.Network = runtimeapi.NamespaceMode_TARGET
	}), "network", "TARGET").taken("it takes any other mode for POD"),
	"pod: sysctl, unknown":        badPod(sysctl("net.no.such_thing", "1"), "sysctl", "net.no.such_thing"),
	"pod: sysctl, of the host":    badPod(sysctl("kernel.panic", "1"), "sysctl", "kernel.panic"),
	"pod: sysctl, bad value":      badPod(sysctl("net.core.somaxconn", "many"), "sysctl", "net.core.somaxconn", "many"),
	"pod: sysctl, a path":         badPod(sysctl("net/../../kernel/panic", "1"), "sysctl", "net/../../kernel/panic"),
	"pod: cgroup parent":          badPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = "relative" }, "cgroup_parent", "relative").taken(trusted),
	"pod: cgroup parent, upwards": badPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = "/a/../../b" }, "cgroup_parent", "/a/../../b").taken(trusted),
	"pod: metadata":               badPod(func(c *runtimeapi.PodSandboxConfig) { c.Metadata = nil }, "metadata"),
	"pod: hostname":               badPod(func(c *runtimeapi.PodSandboxConfig) { c.Hostname = strings.Repeat("h", 65) }, "hostname", "hhhh"),
}

func seccompRef(kind runtimeapi.SecurityProfile_ProfileType, ref string) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) {
		sc.Seccomp = &runtimeapi.SecurityProfile{ProfileType: kind, LocalhostRef: ref}
	})
}

func sysctl(key, value string) func(*runtimeapi.PodSandboxConfig) {
	return func(c *runtimeapi.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{key: value} }
}
