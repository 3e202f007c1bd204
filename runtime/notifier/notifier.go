// Package notifier hears of the forbidden system calls that containers use.
//
//	container ─▶ seccomp filter ─▶ kernel ═▶ descriptor ─▶ read ─▶ counted, answered with ENOSYS
//	                                             ▲                     │
//	OCI runtime ── socket of the container ──────┘                     ▼
//	                                              some time after the last new one: kill
//
// The OCI runtime connects to the container's socket for each process that it
// starts with the filter, exec's too, and hands over the descriptor by which the
// kernel tells of calls. Until it is read, and answered, the caller waits; once
// it is closed, by this process or with it, the kernel answers ENOSYS itself.
// So whatever happens to this process, calls go on as forbidden, but processes
// that run by then are not heard of any more. New ones are: Resume listens again.
//
// What was used is noted in a file before the container is killed for it, so
// that a restart of this process changes neither that nor the reason.
package notifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/wholefile"
)

// Notifiers are those of all containers. All methods may be called
// concurrently, but those of one container one after another.
type Notifiers struct {
	dir   string
	grace time.Duration
	kill  func(id string)
	log   *slog.Logger

	mu  sync.Mutex
	all map[string]*notifier
}

// New keeps sockets and notes in dir, which is made if it is missing. kill is
// called for a container that is to be stopped, grace after the latest system
// call that it had not used before; it must not wait for the container's end.
func New(dir string, grace time.Duration, kill func(id string), log *slog.Logger) (*Notifiers, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make directory of seccomp notifiers: %w", err)
	}
	return &Notifiers{dir: dir, grace: grace, kill: kill, log: log, all: make(map[string]*notifier)}, nil
}

// Path is the socket that a container's filter names. Its name is not the whole
// id: paths of sockets are short.
func (n *Notifiers) Path(id string) string { return filepath.Join(n.dir, id[:16]+".sock") }

func (n *Notifiers) note(id string) string { return filepath.Join(n.dir, id) }

// Open listens for a new container. stop says that it is to be killed for what
// it uses. What a failed Open has made is for Close.
func (n *Notifiers) Open(id string, stop bool) error {
	state := note{Stop: stop}
	if err := state.write(n.note(id)); err != nil {
		return err
	}
	return n.begin(id, state)
}

// Resume listens again for a container that an earlier process has opened;
// nothing if there was none.
func (n *Notifiers) Resume(id string) error {
	state, err := readNote(n.note(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return n.begin(id, state)
}

func (n *Notifiers) begin(id string, state note) error {
	listener, err := listen.BindUnix(n.Path(id))
	if err != nil {
		return fmt.Errorf("listen for seccomp notifications of container %s: %w", id, err)
	}
	one := &notifier{
		id: id, file: n.note(id), grace: n.grace, kill: n.kill, log: n.log.With(telemetry.ContainerID, id),
		state: state, fresh: make(chan struct{}, 1),
	}
	if len(state.Used) > 0 {
		one.fresh <- struct{}{}
	}
	life, end := context.WithCancel(context.Background())
	one.end = func() { end(); _ = listener.Close() } // it only stops accepting
	one.work.Go(func() { one.accept(life, listener) })
	if state.Stop {
		one.work.Go(func() { one.stopInTime(life) })
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[id] = one
	return nil
}

// Close ends a container's notifier and removes what is kept of it. One that is
// not there is no error.
func (n *Notifiers) Close(id string) error {
	n.mu.Lock()
	one := n.all[id]
	delete(n.all, id)
	n.mu.Unlock()
	if one != nil {
		one.close()
	}
	var failed []error
	for _, file := range []string{n.Path(id), n.note(id), n.note(id) + wholefile.Draft} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, fmt.Errorf("remove seccomp notifier of container %s: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// Shut ends all notifiers; what is kept stays, for Resume.
func (n *Notifiers) Shut() {
	n.mu.Lock()
	all := maps.Clone(n.all)
	clear(n.all)
	n.mu.Unlock()
	for _, one := range all {
		one.close()
	}
}

// List are the ids of containers of which something is kept.
func (n *Notifiers) List() ([]string, error) {
	ids, err := ident.InDir(n.dir)
	if err != nil {
		return nil, fmt.Errorf("list seccomp notifiers: %w", err)
	}
	return ids, nil
}

// Report is what a container has used so far.
func (n *Notifiers) Report(id string) Report {
	n.mu.Lock()
	one := n.all[id]
	n.mu.Unlock()
	if one == nil {
		return Report{}
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return Report{Used: maps.Clone(one.state.Used), Killed: one.state.Killed}
}

// notifier is that of one container.
type notifier struct {
	id    string
	file  string // of the note
	grace time.Duration
	kill  func(id string)
	log   *slog.Logger
	end   func()
	work  sync.WaitGroup
	fresh chan struct{} // a token after a call that was not used before

	writing sync.Mutex // held while the note is written; taken before mu
	mu      sync.Mutex
	state   note
}

func (one *notifier) close() {
	one.end()
	one.work.Wait()
}

// stopInTime has the container killed some time after its latest new call.
func (one *notifier) stopInTime(life context.Context) {
	timer := time.NewTimer(one.grace)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-one.fresh:
			timer.Reset(one.grace)
		case <-timer.C:
			one.change(life, func(state *note) { state.Killed = true })
			one.log.InfoContext(life, "container is killed for the forbidden system calls that it has used")
			one.kill(one.id)
			return
		}
	}
}

// count enters a call.
func (one *notifier) count(life context.Context, name string) {
	one.mu.Lock()
	known := one.state.Used[name] > 0
	if known {
		one.state.Used[name]++
	}
	one.mu.Unlock()
	if known {
		return
	}
	one.change(life, func(state *note) {
		if state.Used == nil {
			state.Used = make(map[string]uint64)
		}
		state.Used[name]++
	})
	one.log.WarnContext(life, "container has used a forbidden system call", "syscall", name)
	select {
	case one.fresh <- struct{}{}:
	default:
	}
}

// change changes the state, and the note of it.
func (one *notifier) change(life context.Context, edit func(*note)) {
	one.writing.Lock() // or an older state might overwrite a newer one
	defer one.writing.Unlock()
	one.mu.Lock()
	edit(&one.state)
	state := one.state
	state.Used = maps.Clone(state.Used)
	one.mu.Unlock()
	if err := state.write(one.file); err != nil {
		one.log.WarnContext(life, "forbidden system calls are not noted: a restart of this process forgets them", "error", err)
	}
}

// accept takes the descriptors of new processes.
func (one *notifier) accept(life context.Context, listener net.Listener) {
	for life.Err() == nil {
		conn, err := listener.Accept()
		if err != nil {
			if life.Err() != nil {
				return
			}
			one.log.WarnContext(life, "seccomp notifications of a new process are not heard of", "error", err)
			select {
			case <-life.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		one.work.Go(func() { one.serve(life, conn.(*net.UnixConn)) })
	}
}

// acceptPause is the pause after a failure, such as too many open files.
const acceptPause = 100 * time.Millisecond

// serve reads the notifications of one process and its children until they have
// all ended.
func (one *notifier) serve(life context.Context, conn *net.UnixConn) {
	from, err := receive(conn)
	_ = conn.Close() // all has been read
	if err != nil {
		one.log.WarnContext(life, "seccomp notifications of a new process are not heard of", "error", err)
		return
	}
	// Closing wakes the reader.
	stop := context.AfterFunc(life, func() { _ = from.file.Close() })
	defer func() {
		if stop() {
			_ = from.file.Close() // only read from
		}
	}()
	err = read(from.file, func(thread uint32, name string) {
		if !from.byRuntime(thread) {
			one.count(life, name)
		}
	})
	if err != nil && life.Err() == nil {
		one.log.WarnContext(life, "seccomp notifications are not heard of any more", "error", err)
	}
}
