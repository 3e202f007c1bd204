package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/operation"
)

// SandboxerShim is the sandboxer, in configuration and record, of pods whose
// sandbox the shim makes.
const SandboxerShim = "shim"

// IOTypeStreaming is the io_type, in the configuration, of handlers whose shim
// serves containers' streams.
const IOTypeStreaming = "streaming"

// Held is what a holder has made.
type Held struct {
	// PID is the process that the pod's PID namespace is of, 0 if that is not
	// known.
	PID int
	// Endpoint is where the shim serves the streams of containers, empty if
	// these go through FIFOs.
	Endpoint string
}

// Holder runs what a pod has beside namespaces and files: a pause container
// (*pause.Service) or a sandbox of the handler's shim (*sandbox.Service). Both
// have the pod's id. Most pods have neither.
type Holder interface {
	// What a failed Start has made is for Remove.
	Start(ctx context.Context, pod *Pod) (held Held, err error)
	// Look tells whether it lives, and its process.
	Look(ctx context.Context, podID string) (pid int, alive bool, err error)
	// Remove goes on over whatever is missing.
	Remove(ctx context.Context, podID string) error
}

// Sandboxes are holders whose end only waiting tells.
type Sandboxes interface {
	Holder
	// Wait returns nil when the sandbox has ended or is not there, and
	// errdefs.ErrNotImplemented if its shim does not tell.
	Wait(ctx context.Context, podID string) error
}

// SandboxID is of the sandbox whose shim runs the pod's containers, empty if
// each container has a shim of its own.
func (p *Pod) SandboxID() string {
	if p.record.GetSandboxer() == SandboxerShim {
		return p.ID
	}
	return ""
}

// held tells whether the pod ends with its holder.
func (p *Pod) held() bool { return p.record.GetPause() || p.SandboxID() != "" }

// holderOf is the pod's holder as its record has it; nil without one.
func (s *Service) holderOf(p *Pod) Holder {
	switch {
	case p.SandboxID() != "":
		return s.Sandboxes
	case p.record.GetPause():
		return s.Pauses
	}
	return nil
}

// settle says in the record which holder a new pod is to have. The record
// decides from then on, whatever becomes of the configuration.
func (p *Pod) settle(handler config.Handler, cfg *runtimeapi.PodSandboxConfig) {
	switch {
	case handler.Sandboxer == SandboxerShim:
		p.record.Sandboxer = SandboxerShim
	case sharesPID(cfg):
		p.record.Pause = true
	}
}

// hold starts the pod's holder.
func (s *Service) hold(ctx context.Context, p *Pod, holder Holder) error {
	operation.Stage(ctx, "sandbox or pause container")
	held, err := holder.Start(ctx, p)
	if err != nil {
		return err
	}
	p.record.StreamEndpoint = held.Endpoint
	p.publish(func(st *State) { st.PausePID = p.shared(held.PID) })
	return nil
}

// StreamEndpoint is where the sandbox's shim serves the streams of containers,
// empty if they go through FIFOs. Like the sandbox, it is of the record.
func (p *Pod) StreamEndpoint() string { return p.record.GetStreamEndpoint() }

// shared is the process whose PID namespace the pod's containers share, if
// they do.
func (p *Pod) shared(pid int) int {
	if !sharesPID(p.Config) {
		return 0
	}
	return pid
}

// removeHolders removes what a pod that is not known may have.
func (s *Service) removeHolders(ctx context.Context, id string) error {
	// A pause container's shim is not to be taken for a sandbox's.
	if err := s.Pauses.Remove(ctx, id); err != nil {
		return err
	}
	return s.Sandboxes.Remove(ctx, id)
}

// watchPause is the pause between two attempts to wait for a sandbox's end.
const watchPause = time.Second

// watch has the pod become not ready when its sandbox ends. Only pods with one
// are watched, once.
func (s *Service) watch(p *Pod) {
	if p.SandboxID() == "" || !p.watched.CompareAndSwap(false, true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.work.Go(func() {
		if err := s.awaitEnd(s.life, p); err != nil && s.life.Err() == nil {
			s.logger(p.ID, p.Config).WarnContext(s.life, "the end of the pod's sandbox will only be noticed if its shim ends", "error", err)
			return
		}
		if s.life.Err() == nil {
			s.PauseExited(s.life, p.ID)
		}
	})
}

// awaitEnd waits over absences of containerd.
func (s *Service) awaitEnd(ctx context.Context, p *Pod) error {
	for {
		err := s.Sandboxes.Wait(ctx, p.ID)
		if err == nil || errdefs.IsNotImplemented(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("watch sandbox of pod %s: %w", p.ID, errors.Join(context.Cause(ctx), err))
		case <-time.After(watchPause):
		}
	}
}
