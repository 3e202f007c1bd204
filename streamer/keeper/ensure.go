package keeper

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// command is the first argument by which a program of the streamer's becomes
// the keeper of the directory in the second.
const command = "keep-fifos"

// ensureEvery is how often the streamer looks whether there is a keeper.
const ensureEvery = time.Second

// Main runs the keeper and exits, if the arguments of this program say so.
// Call it first thing in main.
func Main() {
	if len(os.Args) != 3 || os.Args[1] != command {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	// Whoever started it may be gone by now, and its log with it.
	if err := Run(ctx, os.Args[2], slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// Starter starts keepers of one directory. Its methods may be called
// concurrently.
type Starter struct {
	dir  string
	log  *slog.Logger
	wake chan struct{}
}

// NewStarter returns one that does nothing before Run.
func NewStarter(dir string, log *slog.Logger) *Starter {
	return &Starter{dir: dir, log: log, wake: make(chan struct{}, 1)}
}

// Wake says that there is something new to keep. It does not wait.
func (s *Starter) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sees to it that there is a keeper while there is something to keep,
// until ctx ends. The keeper outlives it.
func (s *Starter) Run(ctx context.Context) error {
	ticker := time.NewTicker(ensureEvery)
	defer ticker.Stop()
	var children []int
	for {
		children = slices.DeleteFunc(children, ended)
		started, err := s.ensure()
		if err != nil {
			s.log.WarnContext(ctx, "there is no keeper: output of containers that end while the streamer is away would be lost", "error", err)
		}
		if started != 0 {
			children = append(children, started)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-s.wake:
		}
	}
}

// ended takes the exit of a keeper that has ended, so that none stays a zombie.
func ended(child int) bool {
	pid, err := unix.Wait4(child, nil, unix.WNOHANG, nil)
	return pid == child || err != nil
}

// ensure starts a keeper unless there is one, or nothing to keep.
func (s *Starter) ensure() (child int, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("list containers' fifos: %w", err)
	}
	if !slices.ContainsFunc(entries, os.DirEntry.IsDir) {
		return 0, nil
	}
	if locked, err := isLocked(s.dir); locked || err != nil {
		return 0, err
	}
	return start(s.dir)
}

// start runs a keeper in a session of its own: what ends the group does not
// reach it. It gets no descriptor of ours, which would keep sockets alive.
func start(dir string) (pid int, err error) {
	cmd := exec.Command("/proc/self/exe", command, dir)
	cmd.Args[0] = "trivet-keeper"
	cmd.Dir = "/"
	cmd.Env = []string{"GOMAXPROCS=1", "GOMEMLIMIT=16MiB"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start keeper: %w", err)
	}
	return cmd.Process.Pid, nil
}
