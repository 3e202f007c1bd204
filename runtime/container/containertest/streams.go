package containertest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// Open is the request that opened a container's streams.
type Open = *streamerv1.OpenIORequest

// Streams is a fake container.Streams. Calls: Streams.Open, Streams.Close,
// Streams.Sweep.
type Streams struct {
	faults *podtest.Faults
	mu     sync.Mutex
	open   map[string]Open
}

// OpenIO is part of container.Streams.
func (s *Streams) OpenIO(ctx context.Context, r *streamerv1.OpenIORequest, _ ...grpc.CallOption) (*streamerv1.OpenIOResponse, error) {
	id := r.GetContainer().GetId()
	err := s.faults.Do(ctx, "Streams.Open", func() error {
		s.Put(id, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	at := func(name string, wanted bool) string {
		if !wanted {
			return ""
		}
		return "/run/fifos/" + id + "/" + name
	}
	return &streamerv1.OpenIOResponse{Stdin: at("stdin", r.GetStdin()), Stdout: at("stdout", true), Stderr: at("stderr", !r.GetTty())}, nil
}

// CloseIO is part of container.Streams.
func (s *Streams) CloseIO(ctx context.Context, r *streamerv1.CloseIORequest, _ ...grpc.CallOption) (*streamerv1.CloseIOResponse, error) {
	err := s.faults.Do(ctx, "Streams.Close", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, r.GetContainerId())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &streamerv1.CloseIOResponse{Drained: true}, nil
}

// Sweep is part of container.Streams.
func (s *Streams) Sweep(ctx context.Context, r *streamerv1.SweepRequest, _ ...grpc.CallOption) (*streamerv1.SweepResponse, error) {
	response := &streamerv1.SweepResponse{}
	err := s.faults.Do(ctx, "Streams.Sweep", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for id := range s.open {
			if !slices.Contains(r.GetContainerIds(), id) {
				delete(s.open, id)
				response.Removed = append(response.Removed, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// Get returns the request that opened a container's streams.
func (s *Streams) Get(id string) (Open, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.open[id]
	return r, ok
}

// Put opens streams, unasked.
func (s *Streams) Put(id string, r Open) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = r
}

// IDs are the containers with open streams, sorted.
func (s *Streams) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.open))
}

func (s *Streams) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.open)
}
