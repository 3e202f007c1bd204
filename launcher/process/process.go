// Package process runs the members as child processes that cannot outlive
// the launcher, and forwards what they write.
//
// The kernel kills a child when the thread that forked it ends, so each child
// has a thread of its own that forks it and then waits for it. A child leads a
// process group; what is left of the group when it ends (a plugin that it ran)
// ends with it.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// drainLimit bounds the wait for output after the end of a process: a
// descendant that left the process group may hold the pipe open for ever.
const drainLimit = time.Second

// Process is a running child. Its methods are safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	tail  tail
	group errgroup.Group // the thread that waits and the reader of the output
	done  chan struct{}
	exit  Exit // valid after done
}

// Start runs command with its output forwarded to output. The caller must
// wait for Done.
func Start(command Command, output *Output) (*Process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Name, err)
	}
	cmd := exec.Command(command.Path, command.Args...)
	cmd.Env = command.environment()
	cmd.Stdout, cmd.Stderr = write, write
	for _, f := range command.Files {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f.File)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	p.group.Go(func() error { p.own(started, read, output); return nil })
	err = <-started
	_ = write.Close()
	if err != nil {
		_ = p.group.Wait()
		_ = read.Close()
		return nil, fmt.Errorf("start %s: %w", command.Name, err)
	}
	return p, nil
}

// own forks the child and waits for it, on one thread.
func (p *Process) own(started chan<- error, read *os.File, output *Output) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	defer close(p.done)
	defer func() { _ = read.Close() }()
	var reader errgroup.Group
	reader.Go(func() error { return output.forward(read, &p.tail) })

	// While the leader is a zombie its id cannot name another group.
	awaitZombie(p.cmd.Process.Pid)
	_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	_ = p.cmd.Wait() // its error repeats the state
	_ = read.SetReadDeadline(time.Now().Add(drainLimit))
	_ = reader.Wait() // a deadline that has passed
	p.exit = Exit{Code: p.cmd.ProcessState.ExitCode(), Line: p.tail.last()}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.exit.Signal = status.Signal()
	}
}

// awaitZombie returns when the child has ended, and leaves it to be reaped.
func awaitZombie(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and its output is forwarded.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended; valid after Done.
func (p *Process) Exit() Exit { return p.exit }

// Stop sends signal, waits at most grace, sends SIGKILL then, and returns
// when the process has ended. It tells whether SIGKILL was needed.
func (p *Process) Stop(signal syscall.Signal, grace time.Duration) (killed bool) {
	_ = p.cmd.Process.Signal(signal) // fails only when it has ended
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		killed = true
		<-p.done
	}
	_ = p.group.Wait()
	return killed
}
