package pump

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// claim is output that is kept for a draining process from the pump's first
// byte on, until it comes.
type claim struct {
	pump   *pump
	client *client
}

// keep makes the claims on a container that its predecessor has left word of.
// The pump has no turn yet.
func (p *Pumps) keep(pump *pump, c *streamerv1.HandedContainer) {
	for i, s := range pump.sources {
		if i < len(c.GetShown()) {
			s.shown = max(min(int(c.GetShown()[i]), s.available()), 0)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ticket := range c.GetTickets() {
		p.claims[ticket] = &claim{pump, pump.hub.add(ticket, p.tuning.followMax)}
	}
}

// claimed takes a claim; nil if there is none.
func (p *Pumps) claimed(ticket string) *claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.claims[ticket]
	delete(p.claims, ticket)
	return c
}

func (p *Pumps) unclaimed() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.claims)
}

// dropUnclaimed forgets after a while those who do not come.
func (p *Pumps) dropUnclaimed() error {
	if p.unclaimed() == 0 {
		return nil
	}
	timer := time.NewTimer(p.tuning.claimLimit)
	defer timer.Stop()
	select {
	case <-timer.C:
		p.dropClaims()
	case <-p.running.Done():
	}
	return nil
}

func (p *Pumps) dropClaims() {
	p.mu.Lock()
	claims := p.claims
	p.claims = map[string]*claim{}
	p.mu.Unlock()
	for _, c := range claims {
		c.pump.hub.leave(c.client)
		c.pump.log.Warn("attached clients of a predecessor did not come for their output, and are dropped")
	}
}

// Follow gives send what happens to a container's streams, until their end,
// a hand-over, or the end of ctx. Errors: ErrNotFound (no such container, or
// nothing is kept under the ticket), ErrResourceExhausted (send was too slow),
// ErrUnavailable (the pumps have stopped), and what send gave.
func (p *Pumps) Follow(ctx context.Context, r *streamerv1.FollowRequest, send func(*streamerv1.FollowResponse) error) error {
	c, err := p.admit(ctx, r)
	if err != nil {
		return err
	}
	defer c.pump.hub.leave(c.client)
	var shut <-chan struct{}
	if c.pump.stdin != nil {
		shut = c.pump.stdin.shut
	}
	for {
		queue, done, err := c.client.take()
		if err == nil {
			err = c.pass(queue, send)
		}
		if err != nil {
			return err
		}
		if done && len(queue) == 0 {
			return send(c.client.last())
		}
		if done {
			continue
		}
		select {
		case <-c.client.more:
		case <-shut:
			shut = nil
			err = send(&streamerv1.FollowResponse{Event: &streamerv1.FollowResponse_StdinClosed{StdinClosed: true}})
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// admit finds what r is about.
func (p *Pumps) admit(ctx context.Context, r *streamerv1.FollowRequest) (*claim, error) {
	pump, err := p.find(ctx, r.GetContainerId())
	if c := p.claimed(r.GetTicket()); c != nil && c.pump.id == r.GetContainerId() {
		return c, nil // also of a container that was closed meanwhile
	}
	if err != nil {
		return nil, err
	}
	if !r.GetFresh() || r.GetTicket() == "" {
		return nil, fmt.Errorf("output of container %s is not kept for this ticket: %w", r.GetContainerId(), errdefs.ErrNotFound)
	}
	return &claim{pump, pump.hub.add(r.GetTicket(), p.tuning.followMax)}, nil
}

func (c *claim) pass(queue []chunk, send func(*streamerv1.FollowResponse) error) error {
	for _, next := range queue {
		if err := send(&streamerv1.FollowResponse{Event: &streamerv1.FollowResponse_Output{
			Output: &streamerv1.Output{Stream: uint32(next.stream), Data: next.data},
		}}); err != nil {
			return err
		}
		if err := c.client.written(len(next.data)); err != nil {
			return err
		}
	}
	return nil
}

// CloseStdin closes this process's end of a container's stdin for good. It is
// no error if there is none. Errors: ErrUnavailable (the pumps have stopped).
func (p *Pumps) CloseStdin(ctx context.Context, id string) error {
	pump, err := p.find(ctx, id)
	if errdefs.IsNotFound(err) || err == nil && pump.stdin == nil {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := pump.stdin.close(ctx); err != nil {
		return err
	}
	return pump.inputSent(ctx)
}
