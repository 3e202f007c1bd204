package nri

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/nri/pkg/api"
	nrinet "github.com/containerd/nri/pkg/net"
)

// launched is a program that runs, as its connection knows it.
type launched struct {
	program
	config     string
	registered chan struct{} // closed when it is
}

// keep runs a program again and again until life ends. first is called when its
// first run has registered or failed.
func (p *Plugins) keep(life context.Context, one program, first func()) {
	// The kernel ends the program with the thread that has started it, and so
	// with this process, however that ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer first()
	var pauses pauses
	for life.Err() == nil {
		begun := time.Now()
		err := p.launch(life, one, first)
		if life.Err() != nil {
			return
		}
		first()
		pause := pauses.next(time.Since(begun))
		p.Log.WarnContext(life, "NRI plugin has ended and is started again",
			"plugin", one.name(), "required", p.required(one.name()), "after", pause, "error", err)
		select {
		case <-life.Done():
		case <-time.After(pause):
		}
	}
}

// launch runs a program once, until it or its connection ends: a plugin that the
// library has dropped cannot come back over the same connection. One registers
// after another, so that one that hangs does not use up the others' time.
func (p *Plugins) launch(life context.Context, one program, ready func()) error {
	config, err := p.configuration(one)
	if err != nil {
		return err
	}
	select {
	case p.launching <- struct{}{}:
	case <-life.Done():
		return nil
	}
	let := sync.OnceFunc(func() { <-p.launching })
	defer let()
	ctx, end := context.WithCancel(life)
	defer end()
	process, conn, err := execute(ctx, one)
	if err != nil {
		return err
	}
	who := &launched{program: one, config: config, registered: make(chan struct{})}
	parted := make(chan struct{})
	var work sync.WaitGroup
	var apart error
	work.Go(func() {
		defer close(parted)
		defer end()
		apart = p.door.join(life, conn, who)
	})
	work.Go(func() {
		select {
		case <-who.registered:
		case <-parted:
		}
		let()
		ready()
	})
	err = process.wait()
	_ = conn.Close() // a child of the program may have the other end
	work.Wait()
	return errors.Join(err, apart)
}

// process is that of a program.
type process struct {
	cmd  *exec.Cmd
	said *tail
	kill *time.Timer // runs once it was asked to end
}

const (
	// endGrace is how long a program may take to end when it is asked to.
	endGrace = 500 * time.Millisecond
	// outputWait is how long a program's children may keep its output open.
	outputWait = endGrace + 500*time.Millisecond
)

// execute starts a program, which is asked to end when ctx does, and killed a
// little later. The connection is that which the program finds in its
// environment.
func execute(ctx context.Context, one program) (*process, net.Conn, error) {
	sockets, err := nrinet.NewSocketPair()
	if err != nil {
		return nil, nil, fmt.Errorf("start program: %w", err)
	}
	theirs := sockets.PeerFile()
	defer func() { _ = theirs.Close() }() // the program has it
	conn, err := sockets.LocalConn()
	if err != nil {
		return nil, nil, fmt.Errorf("start program: %w", err)
	}
	started := &process{cmd: exec.CommandContext(ctx, one.path), said: &tail{}}
	cmd := started.cmd
	cmd.Env = []string{api.PluginNameEnvVar + "=" + one.base, api.PluginIdxEnvVar + "=" + one.index, api.PluginSocketEnvVar + "=3"}
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{theirs}, started.said, started.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel, cmd.WaitDelay = started.end, outputWait
	if err := cmd.Start(); err != nil {
		_ = conn.Close() // nobody is at the other end
		return nil, nil, fmt.Errorf("start program: %w", err)
	}
	return started, conn, nil
}

// end asks the program's process group to end; it has not been waited for yet.
func (running *process) end() error {
	group := -running.cmd.Process.Pid
	running.kill = time.AfterFunc(endGrace, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	return syscall.Kill(group, syscall.SIGTERM)
}

// wait tells how the program has ended, with the last that it said.
func (running *process) wait() error {
	err := running.cmd.Wait()
	if running.kill != nil {
		running.kill.Stop()
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	if said := running.said.String(); said != "" {
		err = fmt.Errorf("%w: it said %q", err, said)
	}
	return err
}

// tail keeps the end of what is written. It has one writer, and is read after
// that.
type tail struct{ text []byte }

const tailLength = 512

func (t *tail) Write(text []byte) (int, error) {
	t.text = append(t.text, text...)
	if excess := len(t.text) - tailLength; excess > 0 {
		t.text = append(t.text[:0], t.text[excess:]...)
	}
	return len(text), nil
}

func (t *tail) String() string { return string(t.text) }

// pauses are those before a program is started again: longer and longer for one
// that ends at once, and not the same for all that end together.
type pauses struct{ latest time.Duration }

const firstPause, longestPause = time.Second, 30 * time.Second

func (b *pauses) next(ran time.Duration) time.Duration {
	if ran > longestPause {
		b.latest = 0
	}
	b.latest = min(max(2*b.latest, firstPause), longestPause)
	return b.latest/2 + rand.N(b.latest/2) //nolint:gosec // not a secret
}
