//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// TestHandlerFeatures compares what Status says of runtime handlers with what
// the OCI runtimes themselves say.
func TestHandlerFeatures(t *testing.T) {
	ctx, group := limit(t, time.Minute), stage.Group
	var status *runtimeapi.StatusResponse
	ok(t, harness.Wait(ctx, "features of all handlers", func(ctx context.Context) (err error) {
		if status, err = group.CRI.RuntimeServiceClient.Status(ctx, &runtimeapi.StatusRequest{Verbose: true}); err != nil {
			return err
		}
		for _, h := range status.GetRuntimeHandlers() {
			if h.GetFeatures() == nil {
				return errors.New("handler " + h.GetName() + " has none yet")
			}
		}
		return nil
	}))
	got := make(map[string]*runtimeapi.RuntimeHandlerFeatures)
	for _, h := range status.GetRuntimeHandlers() {
		got[h.GetName()] = h.GetFeatures()
	}
	for name, handler := range group.Config.Runtime.Handlers {
		rro, userns := reported(t, handler.Options.BinaryName)
		if got[name].GetRecursiveReadOnlyMounts() != rro || got[name].GetUserNamespaces() != userns {
			t.Errorf("%s: got %v, want %v and %v", name, got[name], rro, userns)
		}
	}
	if len(got) != len(group.Config.Runtime.Handlers)+1 || got[""].String() != got["runc"].String() {
		t.Errorf("handlers are %v", got)
	}
	var told map[string]struct{ Source string }
	ok(t, json.Unmarshal([]byte(status.GetInfo()["handlers"]), &told))
	if told["runc"].Source != "runtime" {
		t.Errorf("verbose status tells %s", status.GetInfo()["handlers"])
	}
}

// reported asks the OCI runtime. An old crun cannot say what it can.
func reported(t *testing.T, binary string) (rro, userns bool) {
	t.Helper()
	text, err := exec.Command(binary, "features").Output()
	if err != nil {
		return strings.HasPrefix(filepath.Base(binary), "crun"), false
	}
	var features struct {
		MountOptions []string `json:"mountOptions"`
		Linux        struct {
			MountExtensions struct{ IDMap struct{ Enabled bool } }
		} `json:"linux"`
	}
	ok(t, json.Unmarshal(text, &features))
	return strings.Contains(strings.Join(features.MountOptions, " ")+" ", "rro "), features.Linux.MountExtensions.IDMap.Enabled
}

// TestRecursiveReadOnly: a writable mount below a read-only one cannot be
// written to, with each OCI runtime that claims so.
func TestRecursiveReadOnly(t *testing.T) {
	ctx, cri := limit(t, time.Minute), stage.CRI()
	dir := t.TempDir()
	below := filepath.Join(dir, "below")
	ok(t, os.Mkdir(below, 0o777))
	ok(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=64k"))
	defer func() { ok(t, unix.Unmount(below, unix.MNT_DETACH)) }()
	for _, handler := range []string{"runc", "crun"} {
		pod := need(cri.RunPodConfig(ctx, need(cri.PodConfig("rro-"+handler))(t), handler))(t)
		defer func() { ok(t, pod.Remove(context.WithoutCancel(ctx))) }()
		container := need(pod.Run(ctx, "main", func(c *runtimeapi.ContainerConfig) {
			c.Mounts = append(c.Mounts,
				&runtimeapi.Mount{HostPath: dir, ContainerPath: "/all", Readonly: true, RecursiveReadOnly: true},
				&runtimeapi.Mount{HostPath: dir, ContainerPath: "/top", Readonly: true})
		}))(t)
		out := need(container.Output(ctx, "touch /all/below/x 2>/dev/null || echo sealed; touch /top/below/x && echo open"))(t)
		if out != "sealed\nopen\n" {
			t.Errorf("%s: %q", handler, out)
		}
	}
}

// TestUserNamespaceOfHandlers: the handler whose OCI runtime can gives the pod
// its user namespace, also on the host's network; the other refuses by name.
func TestUserNamespaceOfHandlers(t *testing.T) {
	ctx, cri := limit(t, time.Minute), stage.CRI()
	ids := []*runtimeapi.IDMapping{{HostId: 300000, Length: 65536}}
	// The container's root, nobody on the host, must get to its root file system.
	ok(t, os.Chmod(workDir, 0o711))
	own := &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}
	for _, network := range []runtimeapi.NamespaceMode{runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_NODE} {
		options := &runtimeapi.NamespaceOption{Network: network, Pid: runtimeapi.NamespaceMode_CONTAINER, UsernsOptions: own}
		for _, handler := range []string{"runc", "crun"} {
			cfg := need(cri.PodConfig("userns-"+handler, func(c *runtimeapi.PodSandboxConfig) {
				c.Linux.SecurityContext.NamespaceOptions = options
				if network == runtimeapi.NamespaceMode_NODE {
					c.Hostname = ""
				}
			}))(t)
			_, able := reported(t, stage.Group.Config.Runtime.Handlers[handler].Options.BinaryName)
			pod, err := cri.RunPodConfig(ctx, cfg, handler)
			if !able {
				says(t, err, handler, "user namespaces")
				continue
			}
			ok(t, err)
			defer func() { ok(t, pod.Remove(context.WithoutCancel(ctx))) }()
			container := need(pod.Run(ctx, "main", func(c *runtimeapi.ContainerConfig) {
				c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: options}
			}))(t)
			if out := need(container.Output(ctx, "tr -s ' ' < /proc/self/uid_map; stat -c %u /bin/busybox /etc/hosts"))(t); out != " 0 300000 65536\n0\n0\n" {
				t.Errorf("%s, network %s: %q", handler, network, out)
			}
		}
	}
}
