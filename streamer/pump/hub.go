package pump

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// hub hands a container's output to the clients that are attached. Sending
// never waits: each client has a queue, and one that is too far behind is cut off.
type hub struct {
	limit int // bytes that a queue may hold

	count   atomic.Int32 // len(clients), to be read without the lock
	mu      sync.Mutex
	clients map[*client]struct{}
	ended   bool
	err     error  // why, if not because the output has ended
	idle    func() // called when the last client leaves; may be nil
}

// chunk is output of one stream.
type chunk struct {
	stream int
	data   []byte // shared by all clients, never changed
}

func newHub(limit int) *hub { return &hub{limit: limit, clients: map[*client]struct{}{}} }

// join adds a client that sees the output from now on.
func (h *hub) join() *client { return h.add("", h.limit) }

// add adds a client; one with a ticket is in a draining process.
func (h *hub) add(ticket string, limit int) *client {
	c := &client{ticket: ticket, limit: limit, more: make(chan struct{}, 1), off: make(chan struct{})}
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
	if h.idle != nil && len(h.clients) == 0 {
		h.idle()
	}
}

// whenIdle has fn called when there is no client any more. fn must not block.
func (h *hub) whenIdle(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle = fn
	if len(h.clients) == 0 {
		fn()
	}
}

// hand sends the clients in draining processes on to the successor, where
// they go on under the returned tickets. The others stay; without any, the hub
// takes no more.
func (h *hub) hand() (tickets []string, stay bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil, false
	}
	for c := range h.clients {
		if c.ticket == "" {
			stay = true
			continue
		}
		tickets = append(tickets, c.ticket)
		c.move()
		delete(h.clients, c)
	}
	h.count.Store(int32(len(h.clients)))
	if !stay {
		h.ended, h.err = true, errHandedOver
	}
	return tickets, stay
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

// client is one attached client's queue, or that of a draining process.
type client struct {
	ticket string // not empty for a draining process
	limit  int
	more   chan struct{} // has a token when the queue may have changed
	off    chan struct{} // closed when err is set

	mu    sync.Mutex
	queue []chunk
	size  int
	done  bool // nothing follows the queue
	moved bool // because a successor has it
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

// move ends the queue, for a successor has what follows.
func (c *client) move() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.done, c.moved = true, true
		c.signal()
	}
}

// last tells, after done, what follows the queue.
func (c *client) last() *streamerv1.FollowResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved {
		return &streamerv1.FollowResponse{Event: &streamerv1.FollowResponse_Moved{Moved: true}}
	}
	return &streamerv1.FollowResponse{Event: &streamerv1.FollowResponse_Ended{Ended: true}}
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
