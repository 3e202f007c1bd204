package pump

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// followEvery is the pause between two questions to a successor that does not
// serve yet: its output waits in the FIFOs and in bounded queues.
const followEvery = 10 * time.Millisecond

// errMoved ends a stream whose rest another successor has.
var errMoved = errors.New("moved to a successor")

// newTicket returns a name that no other process has for what it follows.
func newTicket() string { return rand.Text() }

// follow feeds the clients of a pump that was handed over with what its
// successors say, until the output's end, the last client's or Run's.
func (p *Pumps) follow(pump *pump, ticket string, fresh bool) {
	ctx, cancel := context.WithCancel(p.living)
	defer cancel()
	pump.hub.whenIdle(cancel)
	err := p.followAll(ctx, pump, &streamerv1.FollowRequest{ContainerId: pump.id, Ticket: ticket, Fresh: fresh})
	switch {
	case p.living.Err() != nil:
		err = fmt.Errorf("pumps have stopped: %w", errdefs.ErrUnavailable)
	case ctx.Err() != nil: // nobody is left
		err = errHandedOver
	case err != nil:
		pump.log.Warn("output is not followed any more, attached clients are cut off", "error", err)
	}
	pump.hub.end(err)
	if err := pump.stdin.release(); err != nil {
		pump.log.Warn("stdin is not released", "error", err)
	}
}

// followAll follows one successor after the other. It returns nil at the
// output's end.
func (p *Pumps) followAll(ctx context.Context, pump *pump, r *streamerv1.FollowRequest) error {
	for {
		heard := false
		err := p.next.Follow(ctx, r, func(event *streamerv1.FollowResponse) error {
			heard = true
			return pump.hear(event)
		})
		r.Fresh = r.Fresh && !heard
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errMoved) || errdefs.IsUnavailable(err):
		case err == nil:
			return fmt.Errorf("follow the output: the stream has no end: %w", errdefs.ErrDataLoss)
		default:
			return fmt.Errorf("follow the output: %w", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(followEvery):
		}
	}
}

// hear passes on what a successor says. io.EOF is the output's end.
func (p *pump) hear(event *streamerv1.FollowResponse) error {
	switch e := event.GetEvent().(type) {
	case *streamerv1.FollowResponse_Output:
		p.hub.send(int(e.Output.GetStream()), e.Output.GetData())
	case *streamerv1.FollowResponse_StdinClosed:
		if p.stdin != nil {
			return p.stdin.drop()
		}
	case *streamerv1.FollowResponse_Ended:
		return io.EOF
	case *streamerv1.FollowResponse_Moved:
		return errMoved
	}
	return nil
}

// latecomer makes the pump of a client that joins when the pumps were handed
// over already; it has the streams for this client alone.
func (p *Pumps) latecomer(id string) (*pump, error) {
	e, ok := p.entry(id)
	if !ok || e.pump == nil {
		return nil, fmt.Errorf("io of container %s: %w", id, errdefs.ErrNotFound)
	}
	late := &pump{set: p, id: id, request: e.request, log: e.pump.log, hub: newHub(p.tuning.clientMax)}
	if e.request.GetStdin() {
		var err error
		if late.stdin, err = openStdin(filepath.Join(p.folder(id), stdinName)); err != nil {
			return nil, err
		}
	}
	return late, nil
}
