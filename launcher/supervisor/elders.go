package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// handOverLimit is how long a member may take to give its work away.
const handOverLimit = 5 * time.Second

// elders are the processes that outlive their generation. The one of a member
// works on until its successor has started, and then drains: it ends by
// itself, or after a while, or with the supervisor. One that does not hand over
// is stopped, as every other.
type elders struct {
	machine Machine
	board   *board
	log     *slog.Logger
	stop    chan struct{} // closed by end
	living  sync.WaitGroup

	mu      sync.Mutex
	ended   bool
	working map[string]*elder // by member
}

// elder is one of them.
type elder struct {
	Member
	limits  Limits
	proc    Process
	decided chan bool     // gets whether it has handed over
	gone    chan struct{} // closed when the process has ended
}

// retire takes a process over, if its member hands over and there will be a
// successor.
func (e *elders) retire(m Member, limits Limits, proc Process) bool {
	if !m.HandsOver || limits.Drain <= 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || e.working[m.Name] != nil {
		return false
	}
	old := &elder{Member: m, limits: limits, proc: proc, decided: make(chan bool, 1), gone: make(chan struct{})}
	if e.working == nil {
		e.working = make(map[string]*elder)
	}
	e.working[m.Name] = old
	e.board.retired(m.Name, proc.PID())
	e.living.Go(func() { e.attend(old) })
	return true
}

// relieve has the member's elder, if there is one that works, hand over. When
// it returns the successor can begin.
func (e *elders) relieve(name string) {
	e.mu.Lock()
	old := e.working[name]
	delete(e.working, name)
	e.mu.Unlock()
	if old == nil {
		return
	}
	begun := time.Now()
	err := e.handOver(old)
	old.decided <- err == nil
	if err != nil {
		e.log.Warn("member does not hand over, stopping it", "member", name, "pid", old.proc.PID(), "error", err.Error())
		<-old.gone
		return
	}
	e.board.drains(old.proc.PID())
	e.log.Info("member has handed over and drains", "member", name, "pid", old.proc.PID(), "after", time.Since(begun).String())
}

func (e *elders) handOver(old *elder) error {
	ctx, cancel := context.WithTimeout(context.Background(), handOverLimit)
	defer cancel()
	if err := e.machine.HandOver(ctx, old.HealthSocket, old.proc.PID()); err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	return nil
}

// attend sees to the end of a process.
func (e *elders) attend(old *elder) {
	defer close(old.gone)
	defer e.board.gone(old.proc.PID())
	log := e.log.With("member", old.Name, "pid", old.proc.PID())
	// Until its member's next start it may work as long as that takes.
	select {
	case <-old.proc.Done():
		e.forget(old)
		log.Warn("member ended before its successor started", "exit", old.proc.Exit().String())
		return
	case <-e.stop:
	case handedOver := <-old.decided:
		if handedOver && e.drained(old) {
			log.Info("member has drained", "exit", old.proc.Exit().String())
			return
		}
	}
	if old.proc.Stop(unix.SIGTERM, old.limits.Stop) {
		log.Warn("member of an earlier generation had to be killed", "stop_timeout", old.limits.Stop.String())
		return
	}
	log.Info("member of an earlier generation stopped", "exit", old.proc.Exit().String())
}

// forget has the successor not ask a process that has ended.
func (e *elders) forget(old *elder) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.working[old.Name] == old {
		delete(e.working, old.Name)
	}
}

// drained is false when the process has to be stopped.
func (e *elders) drained(old *elder) bool {
	limit := time.NewTimer(old.limits.Drain)
	defer limit.Stop()
	select {
	case <-old.proc.Done():
		return true
	case <-limit.C:
		e.log.Warn("member drains for too long, stopping it", "member", old.Name, "pid", old.proc.PID(), "drain_timeout", old.limits.Drain.String())
	case <-e.stop:
	}
	return false
}

// end stops all elders, and none is taken any more.
func (e *elders) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		e.ended = true
		close(e.stop)
	}
}

// wait stops all elders and returns when they have ended.
func (e *elders) wait() {
	e.end()
	e.living.Wait()
}
