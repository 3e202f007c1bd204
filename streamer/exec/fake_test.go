package exec_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/engine"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/shimio/shimiotest"
)

// fakeContainerd plays containerd and its shim: it runs commands as children
// of the test, and opens FIFOs as the shim does.
type fakeContainerd struct {
	mu        sync.Mutex
	processes map[engine.Process]*fakeProcess
	fail      map[string]error // by the method's name
	closed    []engine.Process // stdin
	sizes     [][2]uint16
	killed    int
	ever      []*fakeProcess
	late      time.Duration    // after the start, of the shim's opening of stdin
	lateHold  time.Duration    // after that, of its opening of the other end
	shim      *shimiotest.Shim // serves streams; nil for FIFOs
}

type fakeProcess struct {
	command  engine.Command
	cmd      *osexec.Cmd
	copies   sync.WaitGroup
	exited   chan struct{}
	code     uint32
	late     time.Duration
	lateHold time.Duration
	shim     *shimiotest.Shim
	opened   chan struct{} // stdin has been, or cannot be; nil without one
	holdIn   *os.File      // the shim's own writing end of stdin
}

// openIn opens both ends of stdin, as a shim does: when it gets round to it.
// It may have read, and seen an end, before it has the other.
func (p *fakeProcess) openIn() *os.File {
	time.Sleep(p.late)
	fifo, err := os.OpenFile(p.command.Stdin, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		close(p.opened)
		return nil
	}
	hold := func() {
		defer close(p.opened)
		time.Sleep(p.lateHold)
		p.holdIn, _ = os.OpenFile(p.command.Stdin, os.O_WRONLY|unix.O_NONBLOCK, 0)
	}
	if p.lateHold > 0 {
		p.copies.Go(hold)
		return fifo
	}
	if hold(); p.holdIn == nil {
		_ = fifo.Close()
		return nil
	}
	return fifo
}

// closeIn closes the end that the shim writes to.
func (p *fakeProcess) closeIn() error {
	if p.opened == nil {
		return nil
	}
	<-p.opened
	if p.holdIn == nil {
		return nil
	}
	return p.holdIn.Close()
}

// streamed is the stream that a URL names.
func (p *fakeProcess) streamed(url string) (*shimiotest.Stream, bool) {
	id, ok := strings.CutPrefix(url, p.shimAddress()+"?streaming_id=")
	if !ok {
		return nil, false
	}
	return p.shim.Of(id), true
}

func (p *fakeProcess) shimAddress() string {
	if p.shim == nil {
		return "none"
	}
	return p.shim.Address
}

func (p *fakeProcess) openOut(path string) (io.WriteCloser, error) {
	if stream, ok := p.streamed(path); ok {
		return stream.Output(), nil
	}
	return os.OpenFile(path, os.O_WRONLY, 0)
}

func newFake() *fakeContainerd {
	return &fakeContainerd{processes: make(map[engine.Process]*fakeProcess), fail: make(map[string]error)}
}

func (f *fakeContainerd) failure(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail[method]
}

func (f *fakeContainerd) setFailure(method string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[method] = err
}

func (f *fakeContainerd) find(p engine.Process) (*fakeProcess, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if found, ok := f.processes[p]; ok {
		return found, nil
	}
	return nil, fmt.Errorf("%v: %w", p, errdefs.ErrNotFound)
}

func (f *fakeContainerd) Exec(_ context.Context, p engine.Process, c engine.Command) error {
	if err := f.failure("Exec"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[p] = &fakeProcess{command: c, exited: make(chan struct{}), late: f.late, lateHold: f.lateHold, shim: f.shim}
	f.ever = append(f.ever, f.processes[p])
	return nil
}

func (f *fakeContainerd) Start(_ context.Context, p engine.Process) (uint32, error) {
	if err := f.failure("Start"); err != nil {
		return 0, err
	}
	found, err := f.find(p)
	if err != nil {
		return 0, err
	}
	if err := found.start(); err != nil {
		return 0, err
	}
	if err := f.failure("Started"); err != nil {
		return 0, err
	}
	return uint32(found.cmd.Process.Pid), nil
}

func (p *fakeProcess) start() error {
	cmd := osexec.Command(p.command.Args[0], p.command.Args[1:]...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	var closers []io.Closer
	for _, stream := range []struct {
		path string
		to   *io.Writer
	}{{p.command.Stdout, &cmd.Stdout}, {p.command.Stderr, &cmd.Stderr}} {
		if stream.path == "" {
			continue
		}
		fifo, err := p.openOut(stream.path)
		if err != nil {
			return err
		}
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		*stream.to = write
		closers = append(closers, write)
		p.copies.Go(func() { // ends when the last holder of the pipe does
			_, _ = io.Copy(fifo, struct{ io.Reader }{read})
			_ = fifo.Close()
			_ = read.Close()
		})
	}
	if p.command.Stdin != "" {
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd.Stdin = read
		closers = append(closers, read)
		p.opened = make(chan struct{})
		p.copies.Go(func() {
			defer func() { _ = write.Close() }()
			if stream, ok := p.streamed(p.command.Stdin); ok {
				close(p.opened)
				_ = stream.CopyInput(context.Background(), write)
				return
			}
			fifo := p.openIn()
			if fifo == nil {
				return
			}
			_, _ = io.Copy(struct{ io.Writer }{write}, fifo)
			_ = fifo.Close()
		})
	}
	err := cmd.Start()
	for _, c := range closers {
		_ = c.Close()
	}
	if err != nil {
		return fmt.Errorf("OCI runtime exec failed: %w", err)
	}
	p.cmd = cmd
	p.copies.Go(func() {
		_ = cmd.Wait()
		p.code = uint32(cmd.ProcessState.ExitCode())
		if status, ok := cmd.ProcessState.Sys().(unix.WaitStatus); ok && status.Signaled() {
			p.code = 128 + uint32(status.Signal())
		}
		close(p.exited)
	})
	return nil
}

func (f *fakeContainerd) Wait(ctx context.Context, p engine.Process) (uint32, error) {
	found, err := f.find(p)
	if err != nil {
		return 0, err
	}
	if err := f.failure("Wait"); err != nil {
		return 0, err
	}
	select {
	case <-found.exited:
		return found.code, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (f *fakeContainerd) Pid(_ context.Context, p engine.Process) (uint32, error) {
	found, err := f.find(p)
	if err != nil || found.cmd == nil {
		return 0, errors.Join(err, errdefs.ErrNotFound)
	}
	return uint32(found.cmd.Process.Pid), nil
}

func (f *fakeContainerd) Kill(_ context.Context, p engine.Process) error {
	if err := f.failure("Kill"); err != nil {
		return err
	}
	f.mu.Lock()
	f.killed++
	f.mu.Unlock()
	if found, err := f.find(p); err == nil && found.cmd != nil {
		_ = found.cmd.Process.Kill()
	}
	return nil
}

func (f *fakeContainerd) Delete(_ context.Context, p engine.Process) error {
	if err := f.failure("Delete"); err != nil {
		return err
	}
	found, err := f.find(p)
	if err != nil {
		return nil
	}
	if found.cmd != nil {
		select {
		case <-found.exited:
		default:
			return fmt.Errorf("%v runs: %w", p, errdefs.ErrFailedPrecondition)
		}
	}
	_ = found.closeIn()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.processes, p)
	return nil
}

func (f *fakeContainerd) CloseStdin(_ context.Context, p engine.Process) error {
	found, err := f.find(p)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = append(f.closed, p)
	return found.closeIn()
}

func (f *fakeContainerd) Resize(_ context.Context, _ engine.Process, width, height uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sizes = append(f.sizes, [2]uint16{width, height})
	return nil
}

func (f *fakeContainerd) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.processes)
}

const container = "0123456789abcdef"

// fixture is a running Execs on a fake.
type fixture struct {
	*exec.Execs
	fake *fakeContainerd
	dir  string
	stop func() error
}

func start(t *testing.T, config exec.Config) *fixture {
	t.Helper()
	return startOn(t, newFake(), t.TempDir(), config)
}

func startOn(t *testing.T, fake *fakeContainerd, dir string, config exec.Config) *fixture {
	t.Helper()
	execs, err := exec.New(dir, fake, config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- execs.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		for _, p := range fake.ever {
			p.copies.Wait()
		}
	})
	return &fixture{execs, fake, dir, stop}
}

var limits = exec.Config{OutputLimit: 1 << 20, Drain: 200 * time.Millisecond}

// clean fails the test unless nothing is left in containerd and on disk.
func (f *fixture) clean(t *testing.T) {
	t.Helper()
	eventually(t, "everything removed", func() error {
		if n := f.fake.count(); n > 0 {
			return fmt.Errorf("%d processes are left", n)
		}
		if found, _ := filepath.Glob(filepath.Join(f.dir, "*", "*.*")); len(found) > 0 {
			return fmt.Errorf("left on disk: %v", found)
		}
		return nil
	})
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
