package pod

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/annotation"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/podfiles"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Run starts a pod and returns it. It is idempotent by the pod's metadata: a
// retry joins the start under way, or gets the pod that it has led to, if the
// configuration is the same; else errdefs.ErrAlreadyExists. Other errors:
// InvalidArgument with field and value, those of network and containerd, and
// DeadlineExceeded when ctx ends first; the start then goes on.
func (s *Service) Run(ctx context.Context, cfg *runtimeapi.PodSandboxConfig, handlerName string) (*Pod, error) {
	handler, err := s.check(ctx, cfg, handlerName)
	if err != nil {
		return nil, err
	}
	cfg = withDefaults(cfg, handler)
	files, err := s.filesRequest(cfg, handler)
	if err != nil {
		return nil, err
	}
	key := keyOf(cfg.GetMetadata())
	p, err := operation.Do(ctx, s.operations, key, "run pod "+key, s.Config.CreateTimeout.Std(), func(ctx context.Context) (*Pod, error) {
		if p, err := s.existing(key, cfg, handlerName); p != nil || err != nil {
			return p, err
		}
		return s.run(ctx, cfg, handlerName, handler, files)
	})
	if err != nil {
		return nil, err
	}
	// The start that was joined may have been asked for otherwise.
	if !p.same(cfg, handlerName) {
		return nil, p.taken()
	}
	return p, nil
}

// withDefaults adds the handler's annotations to those of a pod. The pod is
// from then on as if it had been asked for so.
func withDefaults(cfg *runtimeapi.PodSandboxConfig, handler config.Handler) *runtimeapi.PodSandboxConfig {
	if len(handler.DefaultAnnotations) == 0 {
		return cfg
	}
	cfg = proto.CloneOf(cfg)
	cfg.Annotations = annotation.WithDefaults(cfg.Annotations, handler.DefaultAnnotations)
	return cfg
}

// existing is the pod that an earlier call with the same metadata has made.
func (s *Service) existing(key string, cfg *runtimeapi.PodSandboxConfig, handlerName string) (*Pod, error) {
	s.mu.Lock()
	id := s.byKey[key]
	s.mu.Unlock()
	p, ok := s.pods.All()[id]
	if !ok {
		return nil, nil
	}
	if p.State().Ready && p.same(cfg, handlerName) {
		return p, nil
	}
	return nil, p.taken()
}

// same tells whether the pod is what a request asks for.
func (p *Pod) same(cfg *runtimeapi.PodSandboxConfig, handlerName string) bool {
	return p.HandlerName == handlerName && proto.Equal(p.Config, cfg)
}

func (p *Pod) taken() error {
	return fmt.Errorf("pod %s exists, with id %s, and was run otherwise or has ended: %w", p.key, p.ID, errdefs.ErrAlreadyExists)
}

func (s *Service) run(ctx context.Context, cfg *runtimeapi.PodSandboxConfig, handlerName string, handler config.Handler, files podfiles.Request) (_ *Pod, err error) {
	operation.Stage(ctx, "plugins")
	if err := s.Hooks.Admit(ctx); err != nil {
		return nil, err
	}
	p, err := s.blank(cfg, handlerName, handler)
	if err != nil {
		return nil, err
	}
	if err := p.take(ctx); err != nil {
		s.unlabel(p)
		return nil, err
	}
	defer p.give()
	defer s.pods.Begin(p.ID, p)() // the sweep spares it, PauseExited finds it
	var made undo.Stack
	defer func() {
		if undone := made.Run(ctx, undoLimit); undone != nil {
			s.logger(p.ID, cfg).WarnContext(ctx, "the failed start of a pod was not undone whole; the sweep will finish it", "error", undone)
		}
	}()
	m := cfg.GetMetadata()
	telemetry.Pod(ctx, p.ID, m.GetNamespace(), m.GetName(), m.GetUid())

	operation.Stage(ctx, "namespaces and files")
	// The undo of each comes before the step: what is half done is undone too.
	made.Add("SELinux labels", func(context.Context) error { s.unlabel(p); return nil })
	made.Add("namespaces", func(ctx context.Context) error { return s.Pins.Remove(ctx, p.ID) })
	made.Add("files", func(ctx context.Context) error { return s.Files.Remove(ctx, p.ID) })
	if !hostNetwork(cfg) {
		made.Add("network", func(ctx context.Context) error { return s.Network.Detach(ctx, p.ID, cfg) })
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.connect(groupCtx, p) })
	group.Go(func() error { return s.writeFiles(groupCtx, p, files) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if holder := s.holderOf(p); holder != nil {
		made.Add("sandbox or pause container", func(ctx context.Context) error { return holder.Remove(ctx, p.ID) })
		if err := s.hold(ctx, p, holder); err != nil {
			return nil, err
		}
	}
	if err := s.ask(ctx, &made, p); err != nil {
		return nil, err
	}
	operation.Stage(ctx, "record")
	made.Add("record", func(ctx context.Context) error { return s.Records.DeletePod(ctx, p.ID) })
	if err := s.Records.CreatePod(ctx, engine.PodRecord{ID: p.ID, Labels: labels(cfg), Record: p.record}, handler); err != nil {
		return nil, err
	}
	made.Release()
	p.publish(func(st *State) { st.Ready = true })
	s.add(p)
	s.watch(p)
	s.logger(p.ID, cfg).InfoContext(ctx, "pod runs", "ips", p.State().IPs)
	return p, nil
}

// ask lets plugins refuse a pod that has all but its record.
func (s *Service) ask(ctx context.Context, made *undo.Stack, p *Pod) error {
	operation.Stage(ctx, "plugins")
	made.Add("plugins", func(ctx context.Context) error {
		s.Hooks.StopPod(ctx, p)
		s.Hooks.RemovePod(ctx, p)
		return nil
	})
	if err := s.Hooks.RunPod(ctx, p); err != nil {
		return fmt.Errorf("run pod %s: %w", p.ID, err)
	}
	return nil
}

// blank is a pod that nothing exists of yet.
func (s *Service) blank(cfg *runtimeapi.PodSandboxConfig, handlerName string, handler config.Handler) (*Pod, error) {
	text, err := proto.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("encode pod's configuration: %w", err)
	}
	labels, err := s.label(cfg, handler)
	if err != nil {
		return nil, err
	}
	record := &recordv1.Pod{
		Config: text, RuntimeHandler: handlerName, CreatedAt: timestamppb.Now(),
		SelinuxLabel: labels.ProcessLabel, SelinuxMountLabel: labels.MountLabel, BootId: s.BootID, Attached: !hostNetwork(cfg),
	}
	p := newPod(ident.New(), record, cfg, handler)
	p.SELinux, p.labelled = labels, true
	p.settle(handler, cfg)
	p.publish(func(st *State) {
		st.Resources = Resources{Overhead: cfg.GetLinux().GetOverhead(), Resources: cfg.GetLinux().GetResources()}
	})
	return p, nil
}

// connect makes the namespaces and attaches the pod to its network.
func (s *Service) connect(ctx context.Context, p *Pod) error {
	request, deferred := s.namespaceRequest(p.ID, p.Config)
	if pinned(request) { // else the pod has all of the host's
		paths, err := s.Pins.Create(ctx, request)
		if err != nil {
			return err
		}
		p.Namespaces = spec.Namespaces{Network: paths.Net, IPC: paths.IPC, UTS: paths.UTS, User: paths.User}
	}
	if hostNetwork(p.Config) {
		return nil
	}
	operation.Stage(ctx, "network")
	attachment, err := s.Network.Attach(ctx, p.ID, p.Config, p.Namespaces.Network, p.Handler.CNIConfDir)
	if err != nil {
		return err
	}
	p.record.Ips, p.record.NetworkResult = attachment.IPs, attachment.Result
	p.publish(func(st *State) { st.IPs, st.Network = attachment.IPs, attachment.Result })
	return s.Pins.Apply(ctx, deferred)
}

// specFiles are the files as the spec has them.
func specFiles(f podfiles.Files) spec.Files {
	return spec.Files{Hosts: f.Hosts, Hostname: f.Hostname, ResolvConf: f.ResolvConf, Shm: f.Shm, Logs: f.Logs}
}

func (s *Service) writeFiles(ctx context.Context, p *Pod, request podfiles.Request) error {
	request.MountLabel = p.SELinux.MountLabel
	files, err := s.Files.Create(ctx, p.ID, p.Config, request)
	if err != nil {
		return err
	}
	p.Files = specFiles(files)
	return nil
}

// add makes the pod visible.
func (s *Service) add(p *Pod) {
	s.mu.Lock()
	s.byKey[p.key] = p.ID
	s.mu.Unlock()
	s.pods.Put(p.ID, p)
}
