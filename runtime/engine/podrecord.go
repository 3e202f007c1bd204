package engine

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/trivet-cri/trivet/internal/config"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
)

// sandboxer marks the records in containerd's sandbox store that are ours. No
// sandbox controller of that name exists in containerd: it only keeps them.
const sandboxer = "trivet"

// extension is the key of our message in the records of pods and containers.
const extension = "io.trivet.record.v1"

// PodRecord is a pod as containerd keeps it.
type PodRecord struct {
	ID     string
	Labels map[string]string
	Record *recordv1.Pod
	// Err says why Record could not be read; the record can still be deleted.
	Err error
}

// CreatePod writes a pod's record. An existing one is errdefs.ErrAlreadyExists.
func (e *Engine) CreatePod(ctx context.Context, pod PodRecord, handler config.Handler) error {
	runtime, err := runtimeOf(handler)
	if err != nil {
		return err
	}
	message, err := pack(pod.Record)
	if err != nil {
		return err
	}
	_, err = e.client.SandboxStore().Create(ctx, sandbox.Sandbox{
		ID: pod.ID, Labels: pod.Labels, Sandboxer: sandboxer,
		Runtime:    sandbox.RuntimeOpts{Name: runtime.Name, Options: runtime.Options},
		Extensions: map[string]typeurl.Any{extension: message},
	})
	if err != nil {
		return fmt.Errorf("write record of pod %s: %w", pod.ID, err)
	}
	return nil
}

// UpdatePod replaces the message in a pod's record.
func (e *Engine) UpdatePod(ctx context.Context, id string, record *recordv1.Pod) error {
	message, err := pack(record)
	if err != nil {
		return err
	}
	_, err = e.client.SandboxStore().Update(ctx, sandbox.Sandbox{
		ID: id, Extensions: map[string]typeurl.Any{extension: message},
	}, "extensions")
	if err != nil {
		return fmt.Errorf("update record of pod %s: %w", id, err)
	}
	return nil
}

// DeletePod removes a pod's record; one that is not there is no error.
func (e *Engine) DeletePod(ctx context.Context, id string) error {
	if err := e.client.SandboxStore().Delete(ctx, id); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete record of pod %s: %w", id, err)
	}
	return nil
}

// ListPods returns all records of pods that are ours, also unreadable ones.
func (e *Engine) ListPods(ctx context.Context) ([]PodRecord, error) {
	found, err := e.client.SandboxStore().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list records of pods: %w", err)
	}
	var pods []PodRecord
	for _, s := range found {
		message, ours := s.Extensions[extension]
		if !ours && s.Sandboxer != sandboxer {
			continue
		}
		pod := PodRecord{ID: s.ID, Labels: s.Labels, Record: &recordv1.Pod{}}
		pod.Err = decode(message, pod.Record)
		pods = append(pods, pod)
	}
	return pods, nil
}

func pack(message proto.Message) (*anypb.Any, error) {
	packed, err := anypb.New(message)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return packed, nil
}

func decode(packed typeurl.Any, message proto.Message) error {
	if packed == nil {
		return fmt.Errorf("record has no extension %s: %w", extension, errdefs.ErrNotFound)
	}
	if err := proto.Unmarshal(packed.GetValue(), message); err != nil {
		return fmt.Errorf("decode record: %w", err)
	}
	return nil
}
