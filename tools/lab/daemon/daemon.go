// Package daemon runs the long-lived programs of a lab, containerd and Jaeger.
//
// Each runs in a session of its own and in the lab's cgroup, not in the
// caller's, with its output in a file. One that ends by itself is started
// again at once, for tests kill daemons; one that does not stay up ends the
// lab. A daemon gets SIGTERM when the lab is killed.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/trivet-cri/trivet/tools/lab/sweep"
)

// Spec is what to run.
type Spec struct {
	Name   string
	Args   []string // the program first
	Env    []string // more variables
	Dir    string   // working directory
	Log    string   // file that gets all output
	Cgroup []string // directories of cgroups to run in
	Family *sweep.Family
}

const (
	// stopLimit is how long a daemon may take to end before it is killed.
	stopLimit = 15 * time.Second
	// A daemon that ends sooner than this after its start has not come up.
	tooSoon = 2 * time.Second
	// files is the limit of open files that is asked for.
	files = "1048576"
)

// The shell puts itself into the cgroups before it becomes the daemon, so no
// child of the daemon can miss them. Raising the limit of open files above
// the hard limit takes a privilege that may be missing.
const launch = `for dir in $LAB_CGROUPS; do echo $$ > "$dir/cgroup.procs" || exit 1; done
ulimit -n ` + files + ` 2>/dev/null || ulimit -n "$(ulimit -H -n)"
unset LAB_CGROUPS
exec "$@"`

// Run runs the daemon until ctx ends, then ends it. An error means that it
// cannot be kept up or did not end in time and was killed.
func Run(ctx context.Context, spec Spec) error {
	for {
		begun := time.Now()
		err := once(ctx, spec)
		if ctx.Err() != nil {
			return err
		}
		if time.Since(begun) < tooSoon {
			return fmt.Errorf("run %s: %w; its log is %s", spec.Name, endOf(err), spec.Log)
		}
		slog.Warn("daemon ended, starting it again", "daemon", spec.Name, "cause", endOf(err))
	}
}

func endOf(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func once(ctx context.Context, spec Spec) error {
	// The kernel sends the death signal when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := os.MkdirAll(filepath.Dir(spec.Log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", launch, "sh"}, spec.Args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Dir, log, log
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Env = append(cmd.Env, "LAB_CGROUPS="+join(spec.Cgroup))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	if err := spec.Family.Start(cmd); err != nil {
		return err
	}
	err = spec.Family.Wait(cmd)
	if ctx.Err() == nil {
		return err
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return fmt.Errorf("stop %s: still running after %s, killed", spec.Name, stopLimit)
	}
	return nil
}

func join(dirs []string) string {
	text := ""
	for _, dir := range dirs {
		text += dir + " "
	}
	return text
}
