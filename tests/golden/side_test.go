//go:build e2e

package golden_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/golden"
	"github.com/trivet-cri/trivet/tests/harness"
)

// side is one of the two that are compared. Its pods are shared by all
// requests that name them.
type side struct {
	name, namespace string
	cri             *harness.CRI
	ctrd            *containerd.Client
	pods            map[string]*harness.Pod
	targets         map[string]*harness.Container // one that runs, by pod
}

func newSide(name string, cri *harness.CRI, namespace string, ctrd *containerd.Client) *side {
	return &side{
		name: name, namespace: namespace, cri: cri, ctrd: ctrd,
		pods: make(map[string]*harness.Pod), targets: make(map[string]*harness.Container),
	}
}

// pod runs the pod of a kind when it is first asked for.
func (s *side) pod(ctx context.Context, kind string) (*harness.Pod, error) {
	if pod := s.pods[kind]; pod != nil {
		return pod, nil
	}
	made, ok := pods[kind]
	if !ok {
		return nil, fmt.Errorf("there is no pod of kind %q", kind)
	}
	pod, err := s.cri.RunPodConfig(ctx, s.podConfig(kind), made.handler)
	if err != nil {
		return nil, err
	}
	s.pods[kind] = pod
	return pod, nil
}

// podConfig is equal on both sides.
func (s *side) podConfig(kind string) *runtimeapi.PodSandboxConfig {
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: kind, Namespace: "golden", Uid: "uid-of-" + kind, Attempt: 1},
		Hostname:     kind + "-0",
		LogDirectory: filepath.Join(host.dir, "logs"),
		Labels:       map[string]string{"kind": kind},
		Annotations:  map[string]string{},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: "/" + filepath.Join(host.cgroup, kind),
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
			},
		},
	}
	if edit := pods[kind].edit; edit != nil {
		edit(cfg)
	}
	return cfg
}

// target is a container of the pod that runs.
func (s *side) target(ctx context.Context, kind string) (*harness.Container, error) {
	if c := s.targets[kind]; c != nil {
		return c, nil
	}
	pod, err := s.pod(ctx, kind)
	if err != nil {
		return nil, err
	}
	c, err := pod.Run(ctx, "target", harness.Shell("while :; do sleep 10 & wait; done"), like(pod.Config))
	if err != nil {
		return nil, err
	}
	s.targets[kind] = c
	return c, nil
}

// like gives a container the namespaces of its pod, as kubelets do.
func like(pod *runtimeapi.PodSandboxConfig) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: proto.CloneOf(pod.GetLinux().GetSecurityContext().GetNamespaceOptions()),
		}
	}
}

// create sends a request and returns the container.
func (s *side) create(ctx context.Context, name string, r request) (*harness.Container, error) {
	pod, err := s.pod(ctx, r.pod)
	if err != nil {
		return nil, err
	}
	cfg := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: strings.Map(wordly, name), Attempt: 2},
		Image:    &runtimeapi.ImageSpec{Image: harness.Busybox},
		LogPath:  name + ".log",
		Linux:    &runtimeapi.LinuxContainerConfig{},
	}
	like(pod.Config)(cfg)
	if r.targeted {
		target, err := s.target(ctx, r.pod)
		if err != nil {
			return nil, err
		}
		cfg.Linux.SecurityContext.NamespaceOptions.TargetId = target.ID
	}
	if r.edit != nil {
		r.edit(cfg)
	}
	return pod.CreateConfig(ctx, cfg)
}

// createdSpec creates the container, reads its spec and removes it.
func (s *side) createdSpec(ctx context.Context, name string, r request) (map[string]any, error) {
	container, err := s.create(ctx, name, r)
	if err != nil {
		return nil, err
	}
	spec, err := s.spec(ctx, container.Pod, container.ID)
	return spec, errors.Join(err, container.Remove(ctx))
}

// pauseSpec is the spec of the pause container, whose id is the pod's.
func (s *side) pauseSpec(ctx context.Context, kind string) (map[string]any, error) {
	pod, err := s.pod(ctx, kind)
	if err != nil {
		return nil, err
	}
	return s.spec(ctx, pod, pod.ID)
}

// spec is the normal form of a container's OCI spec.
func (s *side) spec(ctx context.Context, pod *harness.Pod, id string) (map[string]any, error) {
	record, err := s.ctrd.ContainerService().Get(namespaces.WithNamespace(ctx, s.namespace), id)
	if err != nil {
		return nil, fmt.Errorf("read record of container %s: %w", id, err)
	}
	names := golden.Names{
		Replace: []string{pod.ID, "POD", id, "CONTAINER", host.dir, "HOST"},
		Paths:   stateFiles,
		Namespace: func(kind, path string) string {
			return namespaceName(kind, path, s.targetPID(ctx, pod))
		},
	}
	return golden.Normal(record.Spec.GetValue(), names)
}

// stateFiles are the files that each side keeps for a pod or container.
var stateFiles = map[*regexp.Regexp]string{
	regexp.MustCompile(`^/.*/io\.containerd\.grpc\.v1\.cri/sandboxes/POD/(hosts|hostname|resolv\.conf|shm)$`): "PODFILES/$1",
	regexp.MustCompile(`^/.*/trivet/state/pods/POD/(hosts|hostname|resolv\.conf|shm)$`):                       "PODFILES/$1",
	regexp.MustCompile(`^/.*/io\.containerd\.grpc\.v1\.cri/containers/CONTAINER/volumes/[0-9a-f]+$`):          "VOLUMES/N",
	regexp.MustCompile(`^/.*/trivet/root/volumes/CONTAINER/[0-9]+$`):                                          "VOLUMES/N",
}

func (s *side) targetPID(ctx context.Context, pod *harness.Pod) int {
	for _, c := range s.targets {
		if c.Pod.ID == pod.ID {
			if pid, err := c.PID(ctx); err == nil {
				return pid
			}
		}
	}
	return 0
}

// namespaceName compares what a path leads to with the namespaces of this
// process, which are the host's, and with those of a target.
func namespaceName(kind, path string, target int) string {
	if path == "" {
		return "new"
	}
	file := map[string]string{"network": "net", "mount": "mnt"}[kind]
	if file == "" {
		file = kind
	}
	joined, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	if own, err := os.Stat("/proc/self/ns/" + file); err == nil && os.SameFile(own, joined) {
		return "host"
	}
	if target != 0 {
		if own, err := os.Stat(filepath.Join("/proc", strconv.Itoa(target), "ns", file)); err == nil && kind == "pid" && os.SameFile(own, joined) {
			return "target"
		}
	}
	return "pod"
}

func wordly(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// removeDirs plays the kubelet's part once the pods are gone.
func (s *side) removeDirs() error {
	var failed []error
	for kind := range s.pods {
		failed = append(failed, harness.RemoveCgroup("/"+filepath.Join(host.cgroup, kind)))
	}
	return errors.Join(failed...)
}
