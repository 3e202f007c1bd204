package pump

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

const (
	// handOverName is the file that tells a successor whom to keep output for.
	handOverName = "handover"
	// claimPatience is how long Settle waits.
	claimPatience = 2 * time.Second
	claimEvery    = 5 * time.Millisecond
)

// errHandedOver is why a hub takes no clients whose successor has the pumps.
var errHandedOver = fmt.Errorf("pumps were handed over: %w", errdefs.ErrUnavailable)

// Successor is the process that has the pumps after this one, and whichever
// has them after that.
type Successor interface {
	// Follow gives take what the successor says, until the stream ends.
	Follow(ctx context.Context, r *streamerv1.FollowRequest, take func(*streamerv1.FollowResponse) error) error
	// CloseStdin closes the successor's end of a container's stdin.
	CloseStdin(ctx context.Context, container string) error
}

// Settle is to be called before HandOver, while this process still serves: it
// waits until the pumps are resumed, and gives draining processes a moment to
// come for what is kept for them. Nobody could give it to them afterwards.
func (p *Pumps) Settle(ctx context.Context) error {
	if err := p.waitResumed(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	ticker := time.NewTicker(claimEvery)
	defer ticker.Stop()
	for p.unclaimed() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			p.dropClaims()
		}
	}
	return nil
}

// HandOver stops the pumps, each between two appends, and gives the directory
// away. Clients that are attached stay: they get what next's pumps read from
// then on. It returns the number of pumps. Errors: ErrFailedPrecondition
// (the pumps were stopped before), ErrUnavailable (the pumps have stopped, or ctx has ended first).
func (p *Pumps) HandOver(ctx context.Context, next Successor) (pumps int, err error) {
	if err := p.waitResumed(ctx); err != nil {
		return 0, err
	}
	begun := time.Now()
	p.mu.Lock()
	if p.running.Err() != nil {
		p.mu.Unlock()
		return 0, fmt.Errorf("pumps have been stopped: %w", errdefs.ErrFailedPrecondition)
	}
	p.next = next
	p.halt()
	pumps = len(p.entries)
	p.mu.Unlock()
	select {
	case <-p.ended:
		p.log.InfoContext(ctx, "handed the pumps over", "pumps", pumps, "after", time.Since(begun).String())
		return pumps, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("stop the pumps: %w: %w", context.Cause(ctx), errdefs.ErrUnavailable)
	}
}

// successor is nil before HandOver.
func (p *Pumps) successor() Successor {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.next
}

// give lets go of all that a successor needs, leaves it word of the clients
// that stay, and has these follow it.
func (p *Pumps) give(entries map[string]*entry) {
	handed := &streamerv1.HandedPumps{At: timestamppb.Now()}
	var errs []error
	for id, e := range entries {
		if e.pump == nil {
			continue
		}
		tickets, stay := e.pump.hub.hand()
		if stay {
			own := newTicket()
			tickets = append(tickets, own)
			p.sessions.Go(func() error { p.follow(e.pump, own, false); return nil })
			errs = append(errs, e.pump.releaseOutput())
		} else {
			errs = append(errs, e.pump.release())
		}
		if len(tickets) == 0 {
			continue
		}
		container := &streamerv1.HandedContainer{Id: id, Tickets: tickets}
		for _, s := range e.pump.sources {
			container.Shown = append(container.Shown, uint32(s.shown))
		}
		handed.Containers = append(handed.Containers, container)
	}
	if err := errors.Join(append(errs, writeMessage(p.dir, handOverName, handed))...); err != nil {
		// Those whom the successor does not know are told so when they come.
		p.log.Error("pumps are not handed over as a whole", "error", err)
	}
}

// handed reads and removes what the predecessor has left. Who reads it has the
// directory, so what it says is true only once.
func (p *Pumps) handed() map[string]*streamerv1.HandedContainer {
	path := filepath.Join(p.dir, handOverName)
	message := &streamerv1.HandedPumps{}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, os.Remove(path)); err == nil {
		err = proto.Unmarshal(raw, message)
	}
	if err != nil {
		p.log.Error("hand-over is not readable, attached clients of the predecessor are lost", "error", err)
		return nil
	}
	containers := make(map[string]*streamerv1.HandedContainer, len(message.GetContainers()))
	for _, c := range message.GetContainers() {
		containers[c.GetId()] = c
	}
	p.log.Info("took the pumps over", "followed", len(containers), "stood_still", time.Since(message.GetAt().AsTime()).String())
	return containers
}
