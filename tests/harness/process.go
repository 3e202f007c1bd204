package harness

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a child process in a session of its own, its output in a file.
type Process struct {
	// Log is the path of the file with its standard error.
	Log  string
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid after done
}

// startProcess starts cmd. Its standard error goes to the file log, and its
// standard output too unless it is taken already. The child gets SIGTERM when
// this process dies.
func startProcess(name string, cmd *exec.Cmd, log string) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd.Stderr = file
	if cmd.Stdout == nil {
		cmd.Stdout = file
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	p := &Process{Log: log, name: name, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.own(started, file)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// own starts the child and waits for it on one OS thread: the kernel sends
// the death signal when the thread that forked ends, not the process.
func (p *Process) own(started chan<- error, log io.Closer) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() { _ = log.Close() }()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended; valid after Done.
func (p *Process) Err() error { return p.err }

// Signal sends sig to the process alone, not to its children.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop sends SIGTERM and waits; after limit it kills, which is an error.
func (p *Process) Stop(limit time.Duration) error {
	select {
	case <-p.done:
		return p.ended()
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.await(limit)
}

// await waits for the end at most limit and then kills.
func (p *Process) await(limit time.Duration) error {
	select {
	case <-p.done:
		return p.ended()
	case <-time.After(limit):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("stop %s: still running after %s, killed; its log ends:\n%s", p.name, limit, p.Tail())
	}
}

func (p *Process) ended() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w; its log ends:\n%s", p.name, p.err, p.Tail())
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill(ctx context.Context) error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill %s: %w", p.name, ctx.Err())
	}
}

// Tail returns the last lines of the log.
func (p *Process) Tail() string { return tail(p.Log, 15) }

func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "  " + strings.Join(all, "\n  ")
}
