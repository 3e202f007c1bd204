package pump

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
)

// hub hands a container's output to the clients that are attached. Sending
// never waits: each client has a queue, and one that is too far behind is cut off.
type hub struct {
	limit int // bytes that a queue may hold

	count   atomic.Int32 // len(clients), to be read without the lock
	mu      sync.Mutex
	clients map[*client]struct{}
	ended   bool
	err     error // why, if not because the output has ended
}

// chunk is output of one stream.
type chunk struct {
	stream int
	data   []byte // shared by all clients, never changed
}

func newHub(limit int) *hub { return &hub{limit: limit, clients: map[*client]struct{}{}} }

// join adds a client that sees the output from now on.
func (h *hub) join() *client {
	c := &client{limit: h.limit, more: make(chan struct{}, 1), off: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		c.finish(h.err)
		return c
	}
	h.clients[c] = struct{}{}
	h.count.Store(int32(len(h.clients)))
	return c
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	h.count.Store(int32(len(h.clients)))
}

// send gives every client a copy of data.
func (h *hub) send(stream int, data []byte) {
	if h.count.Load() == 0 {
		return
	}
	shared := chunk{stream, bytes.Clone(data)}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		c.push(shared)
	}
}

// end takes no more output. Without err the clients finish their queues.
func (h *hub) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.ended, h.err = true, err
	for c := range h.clients {
		c.finish(err)
	}
}

// client is one attached client's queue.
type client struct {
	limit int
	more  chan struct{} // has a token when the queue may have changed
	off   chan struct{} // closed when err is set

	mu    sync.Mutex
	queue []chunk
	size  int
	done  bool // nothing follows the queue
	err   error
}

func (c *client) push(next chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	// One chunk may always wait, however large it is.
	if c.size > 0 && c.size+len(next.data) > c.limit {
		c.done, c.queue = true, nil
		c.err = fmt.Errorf("attached client is more than %d bytes behind the container's output: %w",
			c.limit, errdefs.ErrResourceExhausted)
		close(c.off)
	} else {
		c.queue = append(c.queue, next)
		c.size += len(next.data)
	}
	c.signal()
}

// finish ends the queue. What is in it can still be taken if err is nil.
func (c *client) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	c.done, c.err = true, err
	if err != nil {
		c.queue = nil
		close(c.off)
	}
	c.signal()
}

// cut is closed when the client gets nothing more, for a reason.
func (c *client) cut() <-chan struct{} { return c.off }

func (c *client) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *client) signal() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take returns what is queued; done says that nothing follows. What was taken
// counts against the limit until written.
func (c *client) take() (queue []chunk, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue, c.queue = c.queue, nil
	return queue, c.done, c.err
}

// written gives n bytes of the limit back and tells whether the client was
// cut off meanwhile.
func (c *client) written(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size -= n
	return c.err
}
