package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tests/harness"
)

// account is the CPU time of one side: a cgroup with the daemons, which their
// shims, runtimes and plugins inherit, and the cgroup of the containers.
// Nothing else on the machine counts.
type account struct {
	own  string // made here
	dirs []string
	file string // cpuacct.usage on cgroup v1, cpu.stat on v2
}

// cpu is CPU time.
type cpu struct {
	all     time.Duration // of everything
	own     time.Duration // without the containers
	daemons time.Duration // of the daemons alone, not of what they start
}

// cpu is the time so far.
func (s *side) cpu() (cpu, error) {
	used, err := s.account.read()
	if err != nil {
		return cpu{}, err
	}
	used.daemons, err = daemonTime(s.daemons)
	return used, err
}

// spent is the time that run takes.
func (s *side) spent(run func() error) (cpu, error) {
	before, err := s.cpu()
	if err != nil {
		return cpu{}, err
	}
	if err := run(); err != nil {
		return cpu{}, err
	}
	after, err := s.cpu()
	return cpu{after.all - before.all, after.own - before.own, after.daemons - before.daemons}, err
}

// openAccount makes the cgroup and moves the daemons there.
func openAccount(parent string, daemons []int) (*account, error) {
	root, file := "/sys/fs/cgroup/cpuacct", "cpuacct.usage"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		root, file = "/sys/fs/cgroup", "cpu.stat"
	}
	a := &account{own: filepath.Join(root, "trivet-bench-"+harness.Unique()[:12]), file: file}
	a.dirs = []string{a.own, filepath.Join(root, parent)}
	for _, dir := range a.dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make CPU account: %w", err)
		}
	}
	for _, pid := range daemons {
		if err := os.WriteFile(filepath.Join(a.own, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("move process %d to CPU account: %w", pid, err), a.close())
		}
	}
	return a, nil
}

// read returns the CPU time so far, of processes that have ended too.
func (a *account) read() (cpu, error) {
	own, err := a.sum(a.dirs[:1])
	if err != nil {
		return cpu{}, err
	}
	rest, err := a.sum(a.dirs[1:])
	return cpu{all: own + rest, own: own}, err
}

func (a *account) sum(dirs []string) (time.Duration, error) {
	var total time.Duration
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, a.file))
		if err != nil {
			return 0, fmt.Errorf("read CPU account: %w", err)
		}
		used, err := parseUsage(text)
		if err != nil {
			return 0, fmt.Errorf("read CPU account %s: %w", dir, err)
		}
		total += used
	}
	return total, nil
}

// parseUsage reads cpuacct.usage, nanoseconds, or cpu.stat, whose usage_usec
// is in microseconds.
func parseUsage(text []byte) (time.Duration, error) {
	field, unit := string(bytes.TrimSpace(text)), time.Nanosecond
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			field, unit = strings.TrimSpace(value), time.Microsecond
		}
	}
	used, err := strconv.ParseInt(field, 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(used) * unit, nil
}

// close removes the cgroup once its last process has ended.
func (a *account) close() error {
	err := harness.WaitFor(context.Background(), 10*time.Second, "the end of what was measured", func(context.Context) error {
		return os.Remove(a.own)
	})
	if err != nil {
		return fmt.Errorf("remove CPU account: %w", err)
	}
	return nil
}

// daemonTime is the CPU time of processes that run.
func daemonTime(pids []int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("CPU time of process: %w", err)
		}
		// The name, in parentheses, may contain anything; utime and stime are
		// the 12th and 13th fields after it, in hundredths of a second.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
			}
			total += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return total, nil
}

// peer is the process that listens on a unix socket.
func peer(socket string) (int, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return 0, fmt.Errorf("who serves %s: %w", socket, err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("who serves %s: %w", socket, err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("who serves %s: %w", socket, err)
	}
	return int(cred.Pid), nil
}
