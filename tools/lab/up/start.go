package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/trivet-cri/trivet/tools/lab/network"
	"github.com/trivet-cri/trivet/tools/lab/part"
	"github.com/trivet-cri/trivet/tools/lab/registry"
	"github.com/trivet-cri/trivet/tools/lab/sweep"
)

// What lies in the lab's directory, beside the log files.
const (
	binDir        = "bin"
	cniDir        = "cni"
	certsDir      = "certs"
	registryDir   = "registry"
	containerdDir = "containerd"
	// crictl takes this configuration, which is empty, in the place of the
	// machine's; it refuses one that does not exist.
	crictlConfig     = "no-crictl.yaml"
	containerdConfig = "containerd.toml"
)

func (l *lab) path(elements ...string) string {
	return filepath.Join(append([]string{l.Dir}, elements...)...)
}

// start starts the parts, one after another, and waits until each answers.
// They run until daemons ends.
func (l *lab) start(ctx, daemons context.Context) (*Info, error) {
	if err := l.linkParts(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(l.path(crictlConfig), nil, 0o644); err != nil {
		return nil, err
	}
	images, err := l.find("images")
	if err != nil {
		return nil, err
	}
	if l.registry, err = registry.Open(images, l.path(registryDir)); err != nil {
		return nil, err
	}
	l.spawn(func() error { return l.registry.Serve(daemons) })
	if err := registry.WriteHosts(l.path(certsDir), l.registry.Address); err != nil {
		return nil, err
	}
	pods := network.Config{
		Name: l.slot.Network(), Bridge: l.slot.Bridge(), Subnet: l.slot.Subnet(), DataDir: l.path(cniDir, "addresses"),
	}
	if err := pods.Write(l.path(cniDir, "net.d")); err != nil {
		return nil, err
	}
	if err := splitHybrid(); err != nil {
		slog.Warn("crun may not work", "cause", err)
	}
	cgroups, err := sweep.MakeCgroup(filepath.Join(l.slot.Cgroup(), "daemons"))
	if err != nil {
		return nil, err
	}
	info := &Info{
		CertsDir: l.path(certsDir), CNIConfDir: l.path(cniDir, "net.d"), CNIBinDir: l.path(cniDir, "bin"), BinDir: l.path(binDir),
		Crictl: l.path(binDir, "crictl"), Critest: l.path(binDir, "critest"),
		CgroupParent: l.slot.Cgroup(), Registry: l.registry.Address, Namespace: "trivet",
	}
	if l.CRI {
		info.Namespace = "k8s.io"
	}
	if l.Jaeger {
		if err := l.startJaeger(ctx, daemons, cgroups, info); err != nil {
			return nil, err
		}
	}
	return info, l.startContainerd(ctx, daemons, cgroups, info)
}

// find returns where a part is.
func (l *lab) find(id string) (string, error) {
	parts, err := part.Select([]string{id})
	if err != nil {
		return "", err
	}
	where, err := parts[0].Find(l.Parts)
	if errors.Is(err, part.ErrMissing) {
		return "", fmt.Errorf("%s is missing; run tools/lab/lab build", parts[0].Name())
	}
	return where, err
}

// linkParts makes the directories with programs: links, all in one place.
func (l *lab) linkParts() error {
	programs := []string{"containerd", "runc", "crun", "criu", "crictl", "critest"}
	if l.Jaeger {
		programs = append(programs, "jaeger")
	}
	for _, id := range programs {
		where, err := l.find(id)
		if id == "critest" && err != nil {
			slog.Warn("the lab has no critest", "cause", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := linkAll(where, l.path(binDir)); err != nil {
			return err
		}
	}
	if _, err := l.find("iptables"); err != nil {
		return err
	}
	plugins, err := l.find("cni")
	if err != nil {
		return err
	}
	return linkAll(plugins, l.path(cniDir, "bin"))
}

// linkAll links the programs in a part's directory into another one.
func linkAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode()&0o111 == 0 {
			continue
		}
		if err := os.Symlink(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
