package up

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trivet-cri/trivet/tools/lab/daemon"
)

func (l *lab) startContainerd(ctx, daemons context.Context, cgroups []string, info *Info) error {
	c := daemon.Containerd{
		Dir: l.path(containerdDir), ShimDir: filepath.Join(l.slot.Dir(), "s"), BinDir: info.BinDir,
		CNIBinDir: info.CNIBinDir, CNIConfDir: info.CNIConfDir, CertsDir: info.CertsDir,
		CRI: l.CRI, RestrictOOMScoreAdj: !mayLowerOOMScore(),
	}
	if l.CRIConfig != "" {
		var err error
		if c.Overlay, err = os.ReadFile(l.CRIConfig); err != nil {
			return err
		}
	}
	if err := prepareRoot(c.Root()); err != nil {
		return err
	}
	text, err := c.Configuration()
	if err != nil {
		return err
	}
	config := l.path(containerdConfig)
	if err := os.WriteFile(config, text, 0o644); err != nil {
		return err
	}
	spec := daemon.Spec{
		Name: "containerd", Args: []string{l.path(binDir, "containerd"), "--config", config}, Dir: c.Dir,
		Env: append(daemon.TracingEnv(info.JaegerOTLP), "PATH="+info.BinDir+":"+os.Getenv("PATH")+":/usr/sbin:/sbin"),
		Log: l.path("containerd.log"), Cgroup: cgroups, Family: l.family,
	}
	l.spawn(func() error { return daemon.Run(daemons, spec) })
	info.ContainerdSocket, info.ContainerdState = c.Socket(), c.State()
	return await(ctx, "containerd", l.failed, func(ctx context.Context) error {
		_, err := l.family.Output(ctx, l.path(binDir, "ctr"), "--address", c.Socket(), "version")
		return err
	})
}

// jaegerTries: somebody else may take one of the ports that were free.
const jaegerTries = 3

func (l *lab) startJaeger(ctx, daemons context.Context, cgroups []string, info *Info) error {
	var failed error
	for range jaegerTries {
		j, err := daemon.NewJaeger()
		if err != nil {
			return err
		}
		spec := daemon.Spec{
			Name: "jaeger", Args: append([]string{l.path(binDir, "all-in-one")}, j.Args()...), Dir: l.Dir,
			Env: j.Env(), Log: l.path("jaeger.log"), Cgroup: cgroups, Family: l.family,
		}
		ended := make(chan error, 1)
		l.daemons.Go(func() error {
			ended <- daemon.Run(daemons, spec)
			return nil
		})
		if failed = await(ctx, "jaeger", ended, j.Ready); failed == nil {
			info.JaegerOTLP, info.JaegerQuery = j.OTLP, "http://"+j.Query
			l.spawn(func() error { return <-ended })
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

// await asks until a part answers, or has ended.
func await(ctx context.Context, name string, ended <-chan error, ask func(context.Context) error) error {
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", name, ctx.Err(), err)
		case err := <-ended:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// mayLowerOOMScore says whether this process has CAP_SYS_RESOURCE.
func mayLowerOOMScore() bool {
	const capSysResource = 24
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		var effective uint64
		if n, _ := fmt.Sscanf(line, "CapEff: %x", &effective); n == 1 {
			return effective&(1<<capSysResource) != 0
		}
	}
	return false
}
