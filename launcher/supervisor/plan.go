package supervisor

import (
	"context"
	"syscall"
	"time"

	"github.com/trivet-cri/trivet/launcher/process"
)

// Member is one process to keep running.
type Member struct {
	// Name is unique in its plan.
	Name string
	// Critical members end their generation when they fail.
	Critical bool
	// HandsOver is true if it can give its work to a successor and live on for
	// what it has begun.
	HandsOver bool
	// Command runs it.
	Command process.Command
	// HealthSocket is the unix socket that it serves grpc.health.v1 on.
	HealthSocket string
}

// Limits are the times and counts of supervision.
type Limits struct {
	Start     time.Duration // from a member's start until it serves
	Stop      time.Duration // from SIGTERM to SIGKILL
	Interval  time.Duration // between health checks
	Timeout   time.Duration // of one health check
	Threshold int           // unanswered checks in a row that make a member dead
	Drain     time.Duration // a member that has handed over may live on; 0: none does
	Backoff   Backoff
}

// Plan is what a generation runs.
type Plan struct {
	// Revision names the configuration behind the plan: two plans with the
	// same revision are the same.
	Revision string
	// Stages start one after the other, each when all of the one before it
	// serve, and stop in the opposite order. The members of a stage start and
	// stop together.
	Stages [][]Member
	Limits Limits
	// Prepare makes what the members need, before each generation.
	Prepare func() error
}

// Process is a running member.
type Process interface {
	// PID is the process id.
	PID() int
	// Done is closed when the process has ended.
	Done() <-chan struct{}
	// Exit is valid after Done.
	Exit() process.Exit
	// Stop sends the signal, after grace SIGKILL, and returns when the
	// process has ended, telling whether SIGKILL was needed.
	Stop(signal syscall.Signal, grace time.Duration) (killed bool)
}

// Probe asks one process of a member for its health.
type Probe interface {
	// Check asks once; an error means that nobody answered within ctx.
	Check(ctx context.Context) (serving bool, err error)
	// Close releases the probe.
	Close() error
}

// Machine is how the supervisor reaches the world.
type Machine interface {
	// Start runs a member's process.
	Start(command process.Command) (Process, error)
	// Probe returns a probe of the process behind a health socket.
	Probe(socket string) (Probe, error)
	// HandOver has the process pid, if it is the one behind a health socket,
	// give its work to a successor, and returns when that can begin.
	HandOver(ctx context.Context, socket string, pid int) error
}

// Watcher is told what the service manager wants to know. Its methods must
// return quickly.
type Watcher interface {
	// Serving is called when all members of a generation have started.
	Serving(generation int64)
	// Down is called when a generation has ended, or none could start.
	Down(reason string)
}
