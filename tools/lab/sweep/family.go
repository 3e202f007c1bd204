package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Family is this process and everything below it. Children are started
// through it, so that it can tell them from those that it has adopted, which
// nobody else waits for. Its methods may be called by several goroutines.
type Family struct {
	mu  sync.Mutex
	own map[int]bool // children that who started them waits for
}

// NewFamily makes this process the parent of those of its descendants that
// lose theirs: shims leave containerd on purpose. So everything that the lab
// starts stays below it.
func NewFamily() (*Family, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("adopt orphans: %w", err)
	}
	return &Family{own: make(map[int]bool)}, nil
}

// Start starts a child. Wait must follow.
func (f *Family) Start(cmd *exec.Cmd) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	f.own[cmd.Process.Pid] = true
	return nil
}

// Wait waits for a child that Start has started.
func (f *Family) Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.own, cmd.Process.Pid)
	return err
}

// Output runs a program and returns what it writes to its standard output.
// If it fails, what it writes to its standard error is in the error.
func (f *Family) Output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr limited
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := f.Start(cmd); err != nil {
		return "", err
	}
	if err := f.Wait(cmd); err != nil {
		return "", fmt.Errorf("%s %q: %w: %s", name, args, err, stderr)
	}
	return string(stdout), nil
}

// limited keeps the first mebibyte.
type limited []byte

func (l *limited) Write(p []byte) (int, error) {
	if room := 1<<20 - len(*l); room > 0 {
		*l = append(*l, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// Reap waits for adopted children as they end, until ctx ends.
func (f *Family) Reap(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	defer signal.Stop(signals)
	for {
		f.reap()
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
	}
}

// reap waits for the adopted children that have ended.
func (f *Family) reap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	children, zombies := processes()
	for _, pid := range children[os.Getpid()] {
		if zombies[pid] && !f.own[pid] {
			_, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
			if err != nil && !errors.Is(err, unix.ECHILD) {
				return // a signal interrupted it; the next one comes back here
			}
		}
	}
}

// isOwn says whether somebody waits for a child.
func (f *Family) isOwn(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.own[pid]
}
