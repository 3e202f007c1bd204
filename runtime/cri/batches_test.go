package cri_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// sent is the server's side of a stream, which keeps what is sent.
type sent[T any] struct {
	grpc.ServerStreamingServer[T]
	ctx  context.Context
	err  error
	sent []*T
}

func (s *sent[T]) Context() context.Context { return s.ctx }

func (s *sent[T]) Send(message *T) error {
	s.sent = append(s.sent, message)
	return s.err
}

func TestStreamedLists(t *testing.T) {
	t.Parallel()
	s, k := newServer(t), newKernel()
	none := &sent[runtimeapi.StreamPodSandboxesResponse]{ctx: t.Context()}
	if err := s.sandboxes.StreamPodSandboxes(&runtimeapi.StreamPodSandboxesRequest{}, none); err != nil || len(none.sent) > 0 {
		t.Errorf("of no pods %v: %v", none.sent, err)
	}
	const many = 501 // one more than a message has
	pod := s.pod(t, podtest.Sandbox("web"))
	for i := range many {
		s.create(t, pod, fmt.Sprint("c", i))
	}
	containers := &sent[runtimeapi.StreamContainersResponse]{ctx: t.Context()}
	err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{}, containers)
	if err != nil || len(containers.sent) != 2 || len(containers.sent[0].GetContainers()) != 500 || len(containers.sent[1].GetContainers()) != 1 {
		t.Errorf("containers: %d messages: %v", len(containers.sent), err)
	}
	filtered := &sent[runtimeapi.StreamContainersResponse]{ctx: t.Context()}
	filter := &runtimeapi.ContainerFilter{LabelSelector: map[string]string{"tier": "c7"}}
	if err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{Filter: filter}, filtered); err != nil || len(filtered.sent) != 1 || len(filtered.sent[0].GetContainers()) != 1 {
		t.Errorf("filtered: %v: %v", filtered.sent, err)
	}
	pods := &sent[runtimeapi.StreamPodSandboxesResponse]{ctx: t.Context()}
	if err := s.sandboxes.StreamPodSandboxes(&runtimeapi.StreamPodSandboxesRequest{}, pods); err != nil || len(pods.sent) != 1 || pods.sent[0].GetPodSandboxes()[0].GetId() != pod {
		t.Errorf("pods: %v: %v", pods.sent, err)
	}
	usages := &sent[runtimeapi.StreamContainerStatsResponse]{ctx: t.Context()}
	if err := s.stats(k).StreamContainerStats(&runtimeapi.StreamContainerStatsRequest{}, usages); err != nil || len(usages.sent) != 2 || len(usages.sent[0].GetContainerStats()) != 500 {
		t.Errorf("container stats: %d messages: %v", len(usages.sent), err)
	}
	ofPods := &sent[runtimeapi.StreamPodSandboxStatsResponse]{ctx: t.Context()}
	if err := s.stats(k).StreamPodSandboxStats(&runtimeapi.StreamPodSandboxStatsRequest{}, ofPods); err != nil || len(ofPods.sent) != 1 || len(ofPods.sent[0].GetPodSandboxStats()) != 1 {
		t.Errorf("pod stats: %v: %v", ofPods.sent, err)
	}
	images := &sent[runtimeapi.StreamImagesResponse]{ctx: t.Context()}
	if err := cri.NewImages(s.Images, nil).StreamImages(&runtimeapi.StreamImagesRequest{}, images); err != nil || len(images.sent) != 1 || len(images.sent[0].GetImages()) != 1 {
		t.Errorf("images: %v: %v", images.sent, err)
	}
	// A client that went away ends the list.
	broken := &sent[runtimeapi.StreamContainersResponse]{ctx: t.Context(), err: errors.New("broken")}
	if err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{}, broken); err == nil || len(broken.sent) != 1 {
		t.Errorf("broken: %d messages: %v", len(broken.sent), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	left := &sent[runtimeapi.StreamContainersResponse]{ctx: ctx}
	if err := s.containers.StreamContainers(&runtimeapi.StreamContainersRequest{}, left); !errors.Is(err, context.Canceled) || len(left.sent) > 0 {
		t.Errorf("left: %d messages: %v", len(left.sent), err)
	}
}
