package nri

import (
	"fmt"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// calls are those that one hook makes: how much time there is for them, who has
// answered, and whom they want evicted, which the library does not pass on.
type calls struct {
	limit time.Duration // for all calls of one turn together
	tells bool          // an error of one plugin does not concern the others

	mu     sync.Mutex // validators are called at the same time
	end    time.Time  // of the turn; zero before its first call
	by     map[*peer]bool
	passed map[*peer]bool // who was not reached in this turn
	only   map[*peer]bool // whom this turn is for; nil for all
	failed []error        // what plugins say, if tells is set
	evict  []*api.ContainerEviction
}

type callsKey struct{}

func newCalls(limit time.Duration, tells bool) *calls {
	return &calls{limit: limit, tells: tells, by: make(map[*peer]bool), passed: make(map[*peer]bool)}
}

// heard tells whether a plugin is not to be called in this turn, as it was in
// an earlier one.
func (c *calls) heard(one *peer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.only != nil && !c.only[one]
}

// left is the time that there is; it begins to run with the first call.
func (c *calls) left() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.IsZero() {
		c.end = time.Now().Add(c.limit)
	}
	return time.Until(c.end)
}

// passOver is instead of a call. What a validator has not seen is not valid.
func (c *calls) passOver(one *peer, method string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed[one] = true
	if method == "ValidateContainerAdjustment" {
		return status.Error(codes.Unavailable, "not reached in time")
	}
	return nil
}

// again begins another turn for those that were not reached, and tells whether
// there are any. In each turn one more is reached, or dropped.
func (c *calls) again() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.only, c.passed, c.end = c.passed, make(map[*peer]bool), time.Time{}
	return len(c.only) > 0
}

// add enters an answer.
func (c *calls) add(one *peer, method string, response *ttrpc.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[one] = true
	if code := codes.Code(response.GetStatus().GetCode()); c.tells && code != codes.OK {
		// With an error the library would call nobody else.
		c.failed = append(c.failed, fmt.Errorf("NRI plugin: %w", status.ErrorProto(response.GetStatus())))
		response.Status, response.Payload = nil, nil
	}
	// Both messages have the field; others are not asked.
	switch method {
	case "CreateContainer":
		reply := &api.CreateContainerResponse{}
		if proto.Unmarshal(response.GetPayload(), reply) == nil {
			c.evict = append(c.evict, reply.GetEvict()...)
		}
	case "UpdateContainer":
		reply := &api.UpdateContainerResponse{}
		if proto.Unmarshal(response.GetPayload(), reply) == nil {
			c.evict = append(c.evict, reply.GetEvict()...)
		}
	}
}

func (c *calls) answered(one *peer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[one]
}

func (c *calls) evictions() []*api.ContainerEviction {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evict
}

// failures are what plugins said of a hook that only tells.
func (c *calls) failures() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}
