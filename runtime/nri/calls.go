package nri

import (
	"sync"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

// calls are those that one hook has made: who has answered, and whom they want
// evicted, which the library does not pass on.
type calls struct {
	mu    sync.Mutex // validators are called at the same time
	by    map[*peer]bool
	evict []*api.ContainerEviction
}

type callsKey struct{}

func newCalls() *calls { return &calls{by: make(map[*peer]bool)} }

func (c *calls) add(one *peer, method string, response *ttrpc.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[one] = true
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
