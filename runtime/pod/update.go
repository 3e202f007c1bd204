package pod

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Resources are what a pod's cgroup has for its containers, and what beyond
// that for itself. The client that owns the cgroup sets them there; here they
// are kept for those who ask. They must not be changed.
type Resources struct {
	Overhead, Resources *runtimeapi.LinuxContainerResources
}

// Update replaces the resources in the pod's record and status. The cgroup of
// a pod is its client's: nothing is written to it. When ctx ends first, the
// update goes on. Errors: InvalidArgument with field and value, those of
// containerd, DeadlineExceeded; after an error nothing has changed.
func (s *Service) Update(ctx context.Context, p *Pod, r Resources) error {
	s.describe(ctx, p)
	if err := checkResources("overhead", r.Overhead); err != nil {
		return err
	}
	if err := checkResources("resources", r.Resources); err != nil {
		return err
	}
	if err := spec.CheckMinMemory("resources", r.Resources, p.Handler); err != nil {
		return fmt.Errorf("update pod: %w", err)
	}
	request := &runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: p.ID, Overhead: r.Overhead, Resources: r.Resources}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode update of pod %s: %w", p.ID, err)
	}
	_, err = operation.Do(ctx, s.operations, "update/"+string(text), "update pod "+p.ID, s.Config.CreateTimeout.Std(), func(ctx context.Context) (struct{}, error) {
		if err := s.update(ctx, p, r); err != nil {
			return struct{}{}, err
		}
		// Without the turn: a slow plugin holds up nothing else.
		s.Hooks.PodUpdated(ctx, p)
		return struct{}{}, nil
	})
	return err
}

func checkResources(field string, r *runtimeapi.LinuxContainerResources) error {
	if err := spec.CheckResources(field, r); err != nil {
		return fmt.Errorf("update pod: %w", err)
	}
	return nil
}

// update is alone with the pod.
func (s *Service) update(ctx context.Context, p *Pod, r Resources) (err error) {
	operation.Stage(ctx, "wait for turn")
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.give()
	operation.Stage(ctx, "plugins")
	if err := s.Hooks.UpdatePod(ctx, p, r); err != nil {
		return fmt.Errorf("update pod %s: %w", p.ID, err)
	}
	operation.Stage(ctx, "record")
	record := proto.Clone(p.record).(*recordv1.Pod)
	record.Updated = true
	if record.Overhead, err = encode(r.Overhead); err != nil {
		return err
	}
	if record.Resources, err = encode(r.Resources); err != nil {
		return err
	}
	if err := s.Records.UpdatePod(ctx, p.ID, record); err != nil {
		return err
	}
	// In place: readers look at other fields of the record.
	p.record.Updated, p.record.Overhead, p.record.Resources = true, record.GetOverhead(), record.GetResources()
	p.publish(func(st *State) { st.Resources = r })
	s.logger(p.ID, p.Config).InfoContext(ctx, "resources of a pod are updated", "overhead", r.Overhead, "resources", r.Resources)
	return nil
}

// encode is empty for none, and for one without values.
func encode(r *runtimeapi.LinuxContainerResources) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	text, err := proto.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode resources: %w", err)
	}
	return text, nil
}

func decode(text []byte) (*runtimeapi.LinuxContainerResources, error) {
	if len(text) == 0 {
		return nil, nil
	}
	r := &runtimeapi.LinuxContainerResources{}
	if err := proto.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("decode resources of pod: %w", err)
	}
	return r, nil
}

// resourcesOf are those of the last update, or else of the configuration.
func resourcesOf(record *recordv1.Pod, cfg *runtimeapi.PodSandboxConfig) (r Resources, err error) {
	if !record.GetUpdated() {
		return Resources{Overhead: cfg.GetLinux().GetOverhead(), Resources: cfg.GetLinux().GetResources()}, nil
	}
	if r.Overhead, err = decode(record.GetOverhead()); err != nil {
		return r, err
	}
	r.Resources, err = decode(record.GetResources())
	return r, err
}
