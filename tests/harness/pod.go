package harness

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Images that every lab's registry serves.
const (
	Busybox = "registry.k8s.io/e2e-test-images/busybox:1.29-2"
	// Volume has data/file, and links: inside leads to data, absolute and
	// outside to etc, loop to itself.
	Volume = "gcr.io/k8s-staging-cri-tools/test-image-volume:1"
	Nginx  = "registry.k8s.io/e2e-test-images/nginx:1.14-2"
)

// Pod is a pod sandbox that was run through a CRI endpoint.
type Pod struct {
	ID     string
	Config *runtimeapi.PodSandboxConfig
	cri    *CRI
}

// PodEdit changes a pod's configuration before it is run.
type PodEdit func(*runtimeapi.PodSandboxConfig)

// PodConfig returns the configuration of an ordinary pod: its own network,
// log directory and cgroup under the lab's. Edits are applied in order.
func (c *CRI) PodConfig(name string, edits ...PodEdit) (*runtimeapi.PodSandboxConfig, error) {
	logs, err := c.logDir(name)
	if err != nil {
		return nil, err
	}
	uid := Unique()
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "harness", Uid: uid},
		Hostname:     name,
		LogDirectory: logs,
		Labels:       map[string]string{"trivet.test": name},
		Annotations:  map[string]string{},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: filepath.Join("/", c.lab.CgroupParent, "pod"+uid),
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
			},
		},
	}
	for _, edit := range edits {
		edit(cfg)
	}
	return cfg, nil
}

// Unique returns 32 random hexadecimal digits, a name nobody else has.
func Unique() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

// RunPod runs a pod with the default runtime handler.
func (c *CRI) RunPod(ctx context.Context, name string, edits ...PodEdit) (*Pod, error) {
	cfg, err := c.PodConfig(name, edits...)
	if err != nil {
		return nil, err
	}
	return c.RunPodConfig(ctx, cfg, "")
}

// RunPodConfig runs a pod.
func (c *CRI) RunPodConfig(ctx context.Context, cfg *runtimeapi.PodSandboxConfig, handler string) (*Pod, error) {
	reply, err := c.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg, RuntimeHandler: handler})
	if err != nil {
		return nil, fmt.Errorf("run pod %s: %w", cfg.GetMetadata().GetName(), err)
	}
	return &Pod{ID: reply.GetPodSandboxId(), Config: cfg, cri: c}, nil
}

// Status is the pod's CRI status.
func (p *Pod) Status(ctx context.Context) (*runtimeapi.PodSandboxStatus, error) {
	reply, err := p.cri.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID})
	if err != nil {
		return nil, fmt.Errorf("status of pod %s: %w", p.ID, err)
	}
	return reply.GetStatus(), nil
}

// IP is the pod's primary address.
func (p *Pod) IP(ctx context.Context) (string, error) {
	status, err := p.Status(ctx)
	if err != nil {
		return "", err
	}
	return status.GetNetwork().GetIp(), nil
}

// Stop stops the pod.
func (p *Pod) Stop(ctx context.Context) error {
	if _, err := p.cri.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		return fmt.Errorf("stop pod %s: %w", p.ID, err)
	}
	return nil
}

// Remove stops and removes the pod with its containers and its log directory.
func (p *Pod) Remove(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	if _, err := p.cri.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		return fmt.Errorf("remove pod %s: %w", p.ID, err)
	}
	return p.RemoveDirs()
}

// RemoveDirs plays the kubelet's part after the pod is gone: its log directory
// and the cgroup above it are the client's.
func (p *Pod) RemoveDirs() error {
	if p.Config == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(p.Config.GetLogDirectory()), RemoveCgroup(p.Config.GetLinux().GetCgroupParent()))
}

// PortForwardURL asks for a port-forward to the given ports.
func (p *Pod) PortForwardURL(ctx context.Context, ports ...int32) (string, error) {
	reply, err := p.cri.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: ports})
	if err != nil {
		return "", fmt.Errorf("port-forward to pod %s: %w", p.ID, err)
	}
	return reply.GetUrl(), nil
}
