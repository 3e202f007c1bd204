package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/rpc"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// readyLimit bounds the start of a group; stopLimit its end.
const (
	readyLimit = time.Minute
	stopLimit  = time.Minute
)

// GroupOptions describe a group.
type GroupOptions struct {
	Dir    string               // all of the group's files
	BinDir string               // from Build
	Edit   func(*config.Config) // changes the configuration before it is written; may be nil
}

// Group is a Trivet group on a lab: the launcher and its members.
type Group struct {
	*CRI
	Lab        *Lab
	Config     *config.Config
	ConfigPath string
	binDir     string
	dir        string
	proc       *Process
	conn       *grpc.ClientConn
	launcher   launcherv1.LauncherClient
}

// NewGroup writes the configuration of a group and starts nothing.
func NewGroup(lab *Lab, options GroupOptions) (*Group, error) {
	if err := os.MkdirAll(options.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of group: %w", err)
	}
	cfg := lab.configuration(options.Dir)
	cfg.Launcher.BinDir = options.BinDir
	if options.Edit != nil {
		options.Edit(cfg)
	}
	path := filepath.Join(options.Dir, "trivet.toml")
	if err := writeConfig(path, cfg); err != nil {
		return nil, err
	}
	cri, err := DialCRI(cfg.CRISocket(), lab)
	if err != nil {
		return nil, err
	}
	conn, err := rpc.Dial(cfg.LauncherSocket())
	if err != nil {
		return nil, errors.Join(err, cri.Close())
	}
	return &Group{
		CRI: cri, Lab: lab, Config: cfg, ConfigPath: path, binDir: options.BinDir, dir: options.Dir,
		conn: conn, launcher: launcherv1.NewLauncherClient(conn),
	}, nil
}

// StartGroup starts a group and waits until it serves and its network is ready.
func StartGroup(ctx context.Context, lab *Lab, options GroupOptions) (*Group, error) {
	group, err := NewGroup(lab, options)
	if err != nil {
		return nil, err
	}
	if err := group.Start(ctx); err != nil {
		return nil, errors.Join(err, group.Stop())
	}
	return group, nil
}

// Start starts the launcher, also once more after it has been killed.
func (g *Group) Start(ctx context.Context) error {
	if err := g.Launch(); err != nil {
		return err
	}
	return g.AwaitReady(ctx)
}

// Launch starts the launcher and waits for nothing.
func (g *Group) Launch() error {
	cmd := exec.Command(g.Trivet(), "run", "-c", g.ConfigPath)
	// The lab's criu before the machine's, as containerd has it.
	cmd.Env = append(os.Environ(), "PATH="+g.Lab.BinDir+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	proc, err := startProcess("trivet run", cmd, filepath.Join(g.dir, "trivet.log"))
	if err != nil {
		return err
	}
	g.proc = proc
	return nil
}

// AwaitReady waits until every member serves and the CRI says that runtime
// and network are ready.
func (g *Group) AwaitReady(ctx context.Context) error {
	return WaitFor(ctx, readyLimit, "the group to be ready", func(ctx context.Context) error {
		select {
		case <-g.proc.Done():
			return fmt.Errorf("launcher ended: %w; its log ends:\n%s", g.proc.Err(), g.proc.Tail())
		default:
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		status, err := g.Status(ctx)
		if err != nil {
			return fmt.Errorf("%w; the log %s ends:\n%s", err, g.proc.Log, g.proc.Tail())
		}
		for _, m := range status.GetMembers() {
			if m.GetState() != "serving" {
				return fmt.Errorf("%s is %s; the log %s ends:\n%s", m.GetName(), m.GetState(), g.proc.Log, g.proc.Tail())
			}
		}
		return g.CheckReady(ctx)
	})
}

// Trivet is the path of the trivet program.
func (g *Group) Trivet() string { return filepath.Join(g.binDir, "trivet") }

// TrivetCommand prepares a run of the trivet program with this group's
// configuration.
func (g *Group) TrivetCommand(ctx context.Context, command string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, g.Trivet(), append([]string{command, "-c", g.ConfigPath}, args...)...)
}

// Log is the path of the log of the launcher and its members.
func (g *Group) Log() string { return filepath.Join(g.dir, "trivet.log") }

// Dir is the directory with all of the group's files.
func (g *Group) Dir() string { return g.dir }

// Process is the launcher's.
func (g *Group) Process() *Process { return g.proc }

// Status asks the launcher.
func (g *Group) Status(ctx context.Context) (*launcherv1.StatusResponse, error) {
	status, err := g.launcher.Status(ctx, &launcherv1.StatusRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask launcher for status: %w", err)
	}
	return status, nil
}

// Member asks the launcher for one member.
func (g *Group) Member(ctx context.Context, name string) (*launcherv1.Member, error) {
	status, err := g.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range status.GetMembers() {
		if m.GetName() == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("the launcher has no member %q", name)
}

// Kill sends SIGKILL to a member and returns the generation that it was in.
func (g *Group) Kill(ctx context.Context, name string) (int64, error) {
	status, err := g.Status(ctx)
	if err != nil {
		return 0, err
	}
	for _, m := range status.GetMembers() {
		if m.GetName() == name && m.GetPid() > 0 {
			if err := unix.Kill(int(m.GetPid()), unix.SIGKILL); err != nil {
				return 0, fmt.Errorf("kill %s: %w", name, err)
			}
			return status.GetGeneration(), nil
		}
	}
	return 0, fmt.Errorf("kill %s: no such member runs", name)
}

// KillLauncher sends SIGKILL to the launcher and waits for its end; Start
// brings the group back.
func (g *Group) KillLauncher(ctx context.Context) error { return g.proc.Kill(ctx) }

// AwaitGeneration waits until a generation later than old serves.
func (g *Group) AwaitGeneration(ctx context.Context, old int64) error {
	err := WaitFor(ctx, readyLimit, fmt.Sprintf("a generation after %d", old), func(ctx context.Context) error {
		status, err := g.Status(ctx)
		if err != nil {
			return err
		}
		if status.GetGeneration() <= old {
			return fmt.Errorf("generation is %d", status.GetGeneration())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.AwaitReady(ctx)
}

// Stop ends the group; containers keep running.
func (g *Group) Stop() error {
	var stopped error
	if g.proc != nil {
		stopped = g.proc.Stop(stopLimit)
	}
	return errors.Join(stopped, g.CRI.Close(), g.conn.Close())
}
