package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// LabInfo is what a running lab says about itself.
type LabInfo struct {
	ContainerdSocket string `json:"containerd_socket"`
	ContainerdState  string `json:"containerd_state"`
	CertsDir         string `json:"certs_dir"`
	CNIConfDir       string `json:"cni_conf_dir"`
	CNIBinDir        string `json:"cni_bin_dir"`
	BinDir           string `json:"bin_dir"`
	Crictl           string `json:"crictl"`
	Critest          string `json:"critest"`
	JaegerOTLP       string `json:"jaeger_otlp"`
	JaegerQuery      string `json:"jaeger_query"`
	CgroupParent     string `json:"cgroup_parent"`
	Registry         string `json:"registry"`
	Namespace        string `json:"namespace"`
}

// LabOptions say which parts a lab has beside containerd and the registry.
type LabOptions struct {
	Dir string // state of the lab; made if missing
	CRI bool   // enable containerd's built-in CRI plugin: the baseline
	// CRIConfig is TOML that is laid over the lab's settings of the plugin's
	// runtime part ("io.containerd.cri.v1.runtime"); empty for none.
	CRIConfig string
	Jaeger    bool // run Jaeger
}

// Lab is a running lab. It ends with this process.
type Lab struct {
	LabInfo
	Dir   string
	proc  *Process
	stdin io.Closer
}

// labStop bounds how long a lab may take to stop all it started.
const labStop = 2 * time.Minute

// StartLab starts a lab and waits until its parts answer.
func StartLab(ctx context.Context, options LabOptions) (*Lab, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	args := []string{"up", "--dir", options.Dir}
	if options.CRI {
		args = append(args, "--cri")
	}
	if options.CRIConfig != "" {
		file := options.Dir + ".cri.toml"
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(options.CRIConfig), 0o600)); err != nil {
			return nil, fmt.Errorf("start lab: %w", err)
		}
		args = append(args, "--cri-config", file)
	}
	if options.Jaeger {
		args = append(args, "--jaeger")
	}
	cmd := exec.Command(filepath.Join(root, "tools/lab/lab"), args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	stdout, err := os.CreateTemp("", "trivet-lab-*.json")
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	defer func() { _ = os.Remove(stdout.Name()); _ = stdout.Close() }()
	cmd.Stdout = stdout
	proc, err := startProcess("lab", cmd, options.Dir+".log")
	if err != nil {
		return nil, err
	}
	lab := &Lab{Dir: options.Dir, proc: proc, stdin: stdin}
	if err := lab.awaitInfo(ctx, stdout); err != nil {
		return nil, errors.Join(err, lab.Stop())
	}
	return lab, nil
}

// awaitInfo reads the one line that the lab prints when it is up.
func (l *Lab) awaitInfo(ctx context.Context, stdout io.ReaderAt) error {
	return Wait(ctx, "the lab", func(context.Context) error {
		line, err := bufio.NewReader(io.NewSectionReader(stdout, 0, 1<<20)).ReadBytes('\n')
		if err == nil {
			if err := json.Unmarshal(line, &l.LabInfo); err != nil {
				return fmt.Errorf("lab printed %q: %w", line, err)
			}
			return nil
		}
		select {
		case <-l.proc.Done():
			return fmt.Errorf("lab ended: %w; its log ends:\n%s", l.proc.Err(), l.proc.Tail())
		default:
			return fmt.Errorf("lab has not said anything yet; its log %s ends:\n%s", l.proc.Log, l.proc.Tail())
		}
	})
}

// Log is the path of the lab's log.
func (l *Lab) Log() string { return l.proc.Log }

// Stop ends the lab and waits until nothing of it runs.
func (l *Lab) Stop() error {
	_ = l.stdin.Close()
	return l.proc.await(labStop)
}

// BuildLab builds or installs what labs are made of. Progress goes to out.
func BuildLab(ctx context.Context, out io.Writer) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "tools/lab/lab"), "build")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the lab's parts: %w", err)
	}
	return nil
}
