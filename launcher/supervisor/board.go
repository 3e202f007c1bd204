package supervisor

import (
	"slices"
	"sync"
	"time"
)

// State is what a member is doing.
type State string

// The states, as the API shows them.
const (
	Starting   State = "starting"
	Serving    State = "serving"
	NotServing State = "not-serving"
	BackingOff State = "backoff"
	Stopped    State = "stopped"
)

// States are all of them.
var States = []State{Starting, Serving, NotServing, BackingOff, Stopped}

// historyLimit is how many restarts are remembered.
const historyLimit = 32

// MemberStatus is one member as it is now.
type MemberStatus struct {
	Name      string
	PID       int // 0 when it is not running
	State     State
	Critical  bool
	StartedAt time.Time // zero when it is not running
	Restarts  int       // starts after the first
	LastExit  string    // why its last process ended, empty if none did
	Socket    string    // the health socket
	starts    int
}

// Restart is one restart of the group or of a member alone.
type Restart struct {
	At         time.Time
	Reason     string
	Generation int64 // the one that was started, or that the member is of
}

// Elder is a process of an earlier generation that lives on.
type Elder struct {
	Name       string
	PID        int
	Generation int64     // its own
	Since      time.Time // the end of its generation
	Draining   bool      // it has handed over; until then it still works
}

// Snapshot is the group at one instant. It is the reader's own.
type Snapshot struct {
	Generation int64
	Restarts   int
	Members    []MemberStatus // in start order
	Elders     []Elder        // oldest first
	History    []Restart      // oldest first
}

// board has the state that readers see. Its lock is held for copying only.
type board struct {
	mu  sync.Mutex
	now Snapshot
}

// snapshot copies the state.
func (b *board) snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	copied := b.now
	copied.Members = slices.Clone(b.now.Members)
	copied.Elders = slices.Clone(b.now.Elders)
	copied.History = slices.Clone(b.now.History)
	return copied
}

// begin shows a new generation of plan. Members that stay keep their counts.
func (b *board) begin(generation int64, plan *Plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var members []MemberStatus
	for _, stage := range plan.Stages {
		for _, m := range stage {
			status := MemberStatus{Name: m.Name}
			if i := slices.IndexFunc(b.now.Members, func(s MemberStatus) bool { return s.Name == m.Name }); i >= 0 {
				status = b.now.Members[i]
			}
			status.Critical, status.Socket, status.State = m.Critical, m.HealthSocket, Stopped
			members = append(members, status)
		}
	}
	b.now.Generation, b.now.Members = generation, members
	b.now.Restarts = int(max(generation-1, 0))
}

// update changes one member.
func (b *board) update(name string, change func(*MemberStatus)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.now.Members {
		if b.now.Members[i].Name == name {
			change(&b.now.Members[i])
		}
	}
}

// started shows a new process of a member.
func (b *board) started(name string, pid int) {
	b.update(name, func(m *MemberStatus) {
		m.PID, m.State, m.StartedAt = pid, Starting, time.Now()
		m.starts++
		m.Restarts = m.starts - 1
	})
}

// retired shows a process that lives on.
func (b *board) retired(name string, pid int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now.Elders = append(b.now.Elders, Elder{Name: name, PID: pid, Generation: b.now.Generation, Since: time.Now()})
}

// drains shows that it has handed over.
func (b *board) drains(pid int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.now.Elders {
		if b.now.Elders[i].PID == pid {
			b.now.Elders[i].Draining = true
		}
	}
}

// gone shows it no more.
func (b *board) gone(pid int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now.Elders = slices.DeleteFunc(b.now.Elders, func(e Elder) bool { return e.PID == pid })
}

func (b *board) state(name string, state State) {
	b.update(name, func(m *MemberStatus) { m.State = state })
}

// ended shows that a member's process is gone, or could not be started.
func (b *board) ended(name string, state State, exit string) {
	b.update(name, func(m *MemberStatus) {
		m.PID, m.State, m.StartedAt, m.LastExit = 0, state, time.Time{}, exit
	})
}

// all shows every member in state; none of them runs.
func (b *board) all(state State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.now.Members {
		b.now.Members[i].State = state
	}
}

// groupRestart notes why the next generation will be started.
func (b *board) groupRestart(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remember(reason, b.now.Generation+1)
}

// memberRestart notes why a member is started again alone.
func (b *board) memberRestart(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remember(reason, b.now.Generation)
}

func (b *board) remember(reason string, generation int64) {
	b.now.History = append(b.now.History, Restart{At: time.Now(), Reason: reason, Generation: generation})
	if surplus := len(b.now.History) - historyLimit; surplus > 0 {
		b.now.History = slices.Delete(b.now.History, 0, surplus)
	}
}
