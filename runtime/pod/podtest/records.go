package podtest

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-cri/trivet/internal/config"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/engine"
)

// Record is what the fake of containerd's sandbox store keeps.
type Record = engine.PodRecord

// Records is a fake pod.Records. Calls: Records.Create, Records.Update,
// Records.Delete, Records.List.
type Records struct {
	faults *Faults
	*things[Record]
}

// CreatePod is part of pod.Records.
func (r *Records) CreatePod(ctx context.Context, pod engine.PodRecord, _ config.Handler) error {
	return r.faults.Do(ctx, "Records.Create", func() error {
		if _, ok := r.Get(pod.ID); ok {
			return fmt.Errorf("pod %s: %w", pod.ID, errdefs.ErrAlreadyExists)
		}
		pod.Record = proto.Clone(pod.Record).(*recordv1.Pod)
		r.Put(pod.ID, pod)
		return nil
	})
}

// UpdatePod is part of pod.Records.
func (r *Records) UpdatePod(ctx context.Context, id string, record *recordv1.Pod) error {
	return r.faults.Do(ctx, "Records.Update", func() error {
		one, ok := r.Get(id)
		if !ok {
			return fmt.Errorf("pod %s: %w", id, errdefs.ErrNotFound)
		}
		one.Record = proto.Clone(record).(*recordv1.Pod)
		r.Put(id, one)
		return nil
	})
}

// DeletePod is part of pod.Records.
func (r *Records) DeletePod(ctx context.Context, id string) error {
	return r.faults.Do(ctx, "Records.Delete", func() error {
		r.Drop(id)
		return nil
	})
}

// ListPods is part of pod.Records.
func (r *Records) ListPods(ctx context.Context) (list []engine.PodRecord, err error) {
	err = r.faults.Do(ctx, "Records.List", func() error {
		for _, id := range r.IDs() {
			one, _ := r.Get(id)
			if one.Record != nil {
				one.Record = proto.Clone(one.Record).(*recordv1.Pod)
			}
			list = append(list, one)
		}
		return nil
	})
	return list, err
}
