// Package container creates, starts, stops, removes and recovers containers.
//
//	Create:  image, user, spec ─▶ record ─▶ snapshot ─▶ catalog
//	Start:   started mark ─▶ FIFOs (streamer) ─▶ shim and task ─▶ process
//	exit:    event ─▶ output drained ─▶ record ─▶ state ─▶ shim goes
//
// A container is a record in containerd, with its exit once it has one, and a
// snapshot; while it runs, a task as well. A mark in the state directory, which
// a reboot clears, tells a container that was started from one that was not.
// So whatever is killed at whatever instant, the next start of this process
// finds each container as it is: what ended meanwhile is a stopped task that
// waits in its shim, exit code and all.
//
// Invariant: one operation at a time changes a container (its turn); readers
// see the last published state and never wait. Stop takes no turn: it only
// signals, and waits for the exit. A hung shim thus holds up its own container
// and nothing else. Removal leaves the record in place until all else is gone.
package container

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/cgroup"
	"github.com/trivet-cri/trivet/runtime/stats"
)

// Container is one container. Its exported fields never change.
type Container struct {
	ID, PodID string
	Config    *runtimeapi.ContainerConfig
	ImageID   string
	ImageRef  string // digest reference of the image, or its id
	CreatedAt time.Time
	LogPath   string // absolute, empty for none
	Handler   config.Handler
	// Streams identifies it to the streamer.
	Streams *streamerv1.Container
	User    specs.User // as whom it runs
	// Cores turns readings of its CPU time into a rate.
	Cores stats.Meter

	key         string // of its metadata, in its pod
	snapshotter string
	rootfs      []mount.Mount // nil after a recovery: containerd knows
	cgroupsPath string        // of the OCI spec
	mountLabel  string        // SELinux label of its root
	ownLabel    string        // with the level that it holds, empty for none; guarded by the turn
	// snapshotLabels are those of its snapshot.
	snapshotLabels map[string]string
	// record is replaced when it ends; who only reads it needs no turn.
	record    atomic.Pointer[recordv1.Container]
	unsure    bool // a start was cut short, there may be a task; guarded by the turn
	clean     bool // its task is deleted and its streams are closed; guarded by the turn
	state     atomic.Pointer[State]
	interrupt atomic.Pointer[context.CancelCauseFunc]            // ends a checkpoint under way
	limits    atomic.Pointer[runtimeapi.LinuxContainerResources] // in force; see Resources
	updating  chan struct{}                                      // holds a token while its limits are changed
	turn      chan struct{}                                      // holds a token while an operation changes it
	exited    chan struct{}                                      // closed when the state is final
	oom       atomic.Bool                                        // the kernel's OOM killer was at work
	signalled atomic.Bool                                        // the stop signal was sent once
	end       atomic.Pointer[exit]                               // how it ended, from when that is known until the state tells
}

// State is what may change of a container. A published one never does.
type State struct {
	Phase      runtimeapi.ContainerState
	PID        int // while it runs, unless recovery has not come to it yet
	StartedAt  time.Time
	FinishedAt time.Time
	ExitCode   int32
	Reason     string
	Message    string
	Removing   bool
	// Unsettled is true while Phase says running, because an earlier process had
	// asked for that, and nobody knows yet whether it has been done.
	Unsettled bool
}

// Shown is the phase that clients see: nothing of an unsettled container is
// known to run.
func (s State) Shown() runtimeapi.ContainerState {
	if s.Unsettled {
		return runtimeapi.ContainerState_CONTAINER_CREATED
	}
	return s.Phase
}

// State is the container's state as it is now.
func (c *Container) State() State { return *c.state.Load() }

// Cgroup is the container's, below the mount of a hierarchy.
func (c *Container) Cgroup() string { return cgroup.Path(c.cgroupsPath) }

// Snapshot names what the container has written: a key of a snapshotter.
func (c *Container) Snapshot() (snapshotter, key string) { return c.snapshotter, c.ID }

// Running tells whether it runs, as far as is known.
func (c *Container) Running() bool {
	return c.State().Phase == runtimeapi.ContainerState_CONTAINER_RUNNING
}

// publish makes a new state; only who has the turn, or who is alone with the
// container, calls it.
func (c *Container) publish(change func(*State)) {
	next := c.State()
	change(&next)
	next.Unsettled = next.Unsettled && next.Phase == runtimeapi.ContainerState_CONTAINER_RUNNING
	c.state.Store(&next)
	if next.Phase == runtimeapi.ContainerState_CONTAINER_EXITED {
		select {
		case <-c.exited:
		default:
			close(c.exited)
		}
	}
}

// take waits for the container's turn, which give ends.
func (c *Container) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("container %s is busy: %w", c.ID, context.Cause(ctx))
	}
}

func (c *Container) give() { <-c.turn }

func newContainer(id string, record *recordv1.Container, cfg *runtimeapi.ContainerConfig) *Container {
	c := &Container{
		ID: id, PodID: record.GetPodId(), Config: cfg,
		ImageID: record.GetImageId(), ImageRef: record.GetImageRef(),
		CreatedAt: record.GetCreatedAt().AsTime(), LogPath: record.GetLogPath(),
		key:  keyOf(record.GetPodId(), cfg.GetMetadata()),
		turn: make(chan struct{}, 1), updating: make(chan struct{}, 1), exited: make(chan struct{}),
	}
	c.record.Store(record)
	c.state.Store(&State{Phase: runtimeapi.ContainerState_CONTAINER_CREATED})
	return c
}

func keyOf(podID string, m *runtimeapi.ContainerMetadata) string {
	return fmt.Sprintf("%s/%s/%d", podID, m.GetName(), m.GetAttempt())
}
