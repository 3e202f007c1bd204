package spec_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/users"
)

// board is a Machine that has what a test gives it.
type board struct {
	devices  map[string][]specs.LinuxDevice // by path
	links    map[string]string              // paths of devices by path of a link
	mounts   map[string]spec.MountPoint     // by path on them
	seccomp  map[string]*specs.LinuxSeccomp
	appArmor []string // loaded profiles
}

func (b board) Devices(path string) ([]specs.LinuxDevice, string, error) {
	if target, ok := b.links[path]; ok {
		path = target
	}
	nodes, ok := b.devices[path]
	if !ok {
		return nil, "", fmt.Errorf("find device: %w", &fs.PathError{Op: "lstat", Path: path, Err: fs.ErrNotExist})
	}
	return append([]specs.LinuxDevice(nil), nodes...), path, nil
}

func (b board) MountOf(path string) (spec.MountPoint, error) {
	on, ok := b.mounts[path]
	if !ok {
		return on, fmt.Errorf("find mount of %q: %w", path, os.ErrNotExist)
	}
	return on, nil
}

func (b board) SeccompProfile(path string) (*specs.LinuxSeccomp, error) {
	if profile, ok := b.seccomp[path]; ok {
		return profile, nil
	}
	return nil, fs.ErrNotExist
}

func (b board) LoadAppArmor(profile string) error {
	for _, loaded := range append(b.appArmor, spec.DefaultAppArmor) {
		if loaded == profile {
			return nil
		}
	}
	return errdefs.ErrNotFound
}

func device(path, kind string, major, minor int64) specs.LinuxDevice {
	mode, root := os.FileMode(0o660), uint32(0)
	gid := root
	return specs.LinuxDevice{Path: path, Type: kind, Major: major, Minor: minor, FileMode: &mode, UID: &root, GID: &gid}
}

// testHost is a machine with all features, the same on each machine.
func testHost() spec.Host {
	null, sda := device("/dev/null", "c", 1, 3), device("/dev/sda", "b", 8, 0)
	pcm, ctl := device("/dev/snd/pcm", "c", 116, 1), device("/dev/snd/by-path/ctl", "c", 116, 2)
	return spec.Host{
		Hostname:          "node",
		HugepageSizes:     []string{"2MB", "1GB"},
		Swap:              true,
		Seccomp:           true,
		AppArmor:          true,
		RecursiveReadOnly: true,
		Capabilities:      []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_SYS_TIME"},
		OOMScoreAdj:       -999,
		MaskedPaths:       []string{"/proc/kcore", "/sys/firmware"},
		ReadonlyPaths:     []string{"/proc/sys"},
		Machine: board{
			devices: map[string][]specs.LinuxDevice{
				"/dev":      {null, sda, pcm, ctl},
				"/dev/null": {null},
				"/dev/sda":  {sda},
				"/dev/snd":  {pcm, ctl},
				"/dev/fifo": {device("/dev/fifo", "p", 0, 0)},
			},
			links: map[string]string{"/dev/disk/by-id/one": "/dev/sda"},
			mounts: map[string]spec.MountPoint{
				"/shared": {Point: "/shared", Shared: true}, "/slave": {Point: "/", Slave: true}, "/private": {Point: "/"},
			},
			seccomp: map[string]*specs.LinuxSeccomp{
				"/profiles/deny.json": {DefaultAction: specs.ActErrno}, "/profiles/log.json": {DefaultAction: specs.ActLog},
				"/profiles/trace.json": {DefaultAction: specs.ActTrace},
			},
			appArmor: []string{"k8s-custom"},
		},
	}
}

// plain is the request of an ordinary container as the kubelet sends it.
func plain() spec.Input {
	return spec.Input{
		ID:       strings.Repeat("c", 64),
		PodID:    strings.Repeat("b", 64),
		Features: spec.Features{RecursiveReadOnly: true, UserNamespaces: true, IDMappedMounts: true},
		Pod: &runtimeapi.PodSandboxConfig{
			Metadata: &runtimeapi.PodSandboxMetadata{Name: "web-0", Namespace: "shop", Uid: "5e0ee7b4"},
			Hostname: "web-0",
			Linux: &runtimeapi.LinuxPodSandboxConfig{
				CgroupParent: "/kubepods/burstable/pod5e0ee7b4",
				SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
					NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
				},
			},
		},
		Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: "server"},
			Image:    &runtimeapi.ImageSpec{Image: "sha256:1234"},
			Args:     []string{"--port=80"},
			Envs:     []*runtimeapi.KeyValue{{Key: "MODE", Value: []byte("test")}},
			Linux: &runtimeapi.LinuxContainerConfig{
				Resources: &runtimeapi.LinuxContainerResources{
					CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20, OomScoreAdj: 986,
				},
				SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
					NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
					MaskedPaths:      []string{"/proc/kcore"},
					ReadonlyPaths:    []string{"/proc/sys"},
				},
			},
		},
		Image: ocispec.ImageConfig{
			Entrypoint: []string{"/bin/server"}, Cmd: []string{"--help"}, Env: []string{"MODE=image", "LANG=C"}, WorkingDir: "/srv",
		},
		ImageName:   "registry.test/server:1",
		Handler:     config.Handler{Type: "io.containerd.runc.v2"},
		HandlerName: "runc",
		Runtime:     config.Default().Runtime,
		Namespaces: spec.Namespaces{
			Network: "/run/trivet/pods/b/net", IPC: "/run/trivet/pods/b/ipc", UTS: "/run/trivet/pods/b/uts",
		},
		Files: spec.Files{
			Hosts: "/run/trivet/pods/b/hosts", Hostname: "/run/trivet/pods/b/hostname",
			ResolvConf: "/run/trivet/pods/b/resolv.conf", Shm: "/run/trivet/pods/b/shm",
		},
		User: users.Resolved{AdditionalGIDs: []uint32{0}},
		Host: testHost(),
	}
}

// security is the part of a request that most tests change.
func security(in *spec.Input) *runtimeapi.LinuxContainerSecurityContext {
	return in.Config.Linux.SecurityContext
}

// privilege makes pod and container privileged.
func privilege(in *spec.Input) {
	in.Pod.Linux.SecurityContext.Privileged = true
	security(in).Privileged = true
}

// build fails the test on an error.
func build(t testing.TB, in spec.Input) *specs.Spec {
	t.Helper()
	s, err := spec.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kind of error that a test expects.
var (
	wrong = errdefs.ErrInvalidArgument
	lacks = errdefs.ErrFailedPrecondition
)

// refused fails the test unless Build refuses in with the kind of error and
// all parts in its message.
func refused(t testing.TB, in spec.Input, kind error, parts ...string) {
	t.Helper()
	s, err := spec.Build(in)
	if !errors.Is(err, kind) || s != nil {
		t.Fatalf("got %v, want %v and no spec", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("error %q does not say %q", err, part)
		}
	}
}

// mountAt is the mount at a destination; there must not be two.
func mountAt(t testing.TB, s *specs.Spec, destination string) (specs.Mount, bool) {
	t.Helper()
	var found []specs.Mount
	for _, m := range s.Mounts {
		if m.Destination == destination {
			found = append(found, m)
		}
	}
	if len(found) > 1 {
		t.Fatalf("%d mounts at %s", len(found), destination)
	}
	if len(found) == 0 {
		return specs.Mount{}, false
	}
	return found[0], true
}
