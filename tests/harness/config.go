package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-cri/trivet/internal/config"
)

// configuration is that of a group in dir on this lab.
func (l *Lab) configuration(dir string) *config.Config {
	cfg := config.Default()
	cfg.Root = filepath.Join(dir, "root")
	cfg.State = filepath.Join(dir, "state")
	cfg.Log.Level = "debug"
	cfg.Tracing.Endpoint = l.JaegerOTLP
	// Tests kill members far more often than machines lose them.
	cfg.Launcher.BackoffMax = config.Duration(500 * time.Millisecond)
	cfg.Containerd.Socket = l.ContainerdSocket
	cfg.Containerd.State = l.ContainerdState
	cfg.Containerd.Namespace = l.Namespace
	cfg.Containerd.ConnectTimeout = config.Duration(20 * time.Second)
	cfg.Runtime.Handlers = map[string]config.Handler{
		"runc": {Type: "io.containerd.runc.v2", Options: l.runc("runc")},
		"crun": {Type: "io.containerd.runc.v2", Options: l.runc("crun")},
	}
	// Machines that tests run on may lack CAP_SYS_RESOURCE.
	cfg.Runtime.RestrictOOMScoreAdj = true
	// The socket is in the state directory; plugins of the machine stay out.
	cfg.NRI.PluginPath = filepath.Join(dir, "nri", "plugins")
	cfg.NRI.PluginConfigPath = filepath.Join(dir, "nri", "conf.d")
	cfg.Image.ConfigPath = l.CertsDir
	cfg.CNI.ConfDir = l.CNIConfDir
	cfg.CNI.BinDirs = []string{l.CNIBinDir}
	return cfg
}

// runc names an OCI runtime of the lab, with a state directory of the lab's.
func (l *Lab) runc(name string) config.Options {
	options := config.Options{BinaryName: filepath.Join(l.BinDir, name), Root: filepath.Join(l.Dir, name)}
	if _, err := os.Stat(options.BinaryName); err != nil {
		options.BinaryName = name // a package of the distribution, on PATH
	}
	return options
}

func writeConfig(path string, cfg *config.Config) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := cfg.Write(file); err != nil {
		return err
	}
	return file.Close()
}
