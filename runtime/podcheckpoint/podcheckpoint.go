// Package podcheckpoint takes checkpoints of whole pods and restores them.
//
//	Checkpoint: containers' turns ─▶ freeze all ─▶ dump each ─▶ thaw all ─▶ pod.dump, pod.options
//	Restore:    pod.options ─▶ the pod ─▶ each container, created but not started
//
// A pod's checkpoint is a directory: pod.options names the containers and
// their directories, pod.dump has the pod's configuration, and each container's
// directory is a checkpoint as package checkpoint has it.
//
// Invariant: a checkpoint is one cut through all containers, and none stays
// frozen, whatever fails or whoever is killed. A failed call leaves nothing: no
// file in the directory of a checkpoint, no pod and no container of a restore.
// The checkpoint itself is never changed.
package podcheckpoint

import (
	"context"
	"log/slog"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/checkpoint"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
)

// Deps are what a service is made of.
type Deps struct {
	Pods       *pod.Service
	Containers *container.Service
	// Status is a container's status, as its checkpoint tells it.
	Status func(*container.Container) *runtimeapi.ContainerStatus
	// Journal notes what a process that is killed leaves incomplete;
	// the containers' service undoes it.
	Journal checkpoint.Journal
	Limit   time.Duration // of a call without a deadline
	Log     *slog.Logger
}

// Service takes and restores checkpoints of pods.
type Service struct {
	Deps
	operations *operation.Operations
}

// New returns a service.
func New(deps Deps) *Service { return &Service{Deps: deps, operations: operation.New()} }

// Close cancels what still runs and waits for its end.
func (s *Service) Close() { s.operations.Close() }

// Running are the operations under way.
func (s *Service) Running() []operation.Status { return s.operations.List() }

// Quarantine is empty: a checkpoint is read when it is restored.
func (s *Service) Quarantine() map[string]error { return nil }

// stopping and removing are what a pod's removal does with its containers.
func (s *Service) stopping(id string) func(context.Context) error {
	return func(ctx context.Context) error { return s.Containers.StopAll(ctx, id) }
}

func (s *Service) removing(id string) func(context.Context) error {
	return func(ctx context.Context) error { return s.Containers.RemoveAll(ctx, id) }
}
