package pump

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/ident"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// Streams is what an attached client has; a nil stream is not connected.
type Streams struct {
	// Stdin is read until its end. It is ignored if the container has none.
	Stdin io.Reader
	// Stdout and Stderr are written by one goroutine, in order of arrival.
	Stdout, Stderr io.Writer
	// TTY must equal the container's.
	TTY bool
	// CloseStdin, if set, is called once after the container's stdin has been
	// closed because of stdin_once: the shim holds a write end of its own,
	// which only the task API's CloseIO closes.
	CloseStdin func(context.Context) error
}

// Info is what is known of an open container.
type Info struct {
	// Container identifies it in logs and spans.
	Container *streamerv1.Container
	// TTY, Stdin and StdinOnce are as in the OpenIORequest.
	TTY, Stdin, StdinOnce bool
	// Ended is true once the output has ended and was drained.
	Ended bool
	// Dropped is the number of bytes of output that could not be logged.
	Dropped uint64
}

// Info describes an open container; false if there is none of that id.
func (p *Pumps) Info(id string) (Info, bool) {
	e, ok := p.entry(id)
	if !ok {
		return Info{}, false
	}
	pump := e.opened()
	if pump == nil {
		return Info{}, false
	}
	return Info{
		Container: e.request.GetContainer(),
		TTY:       e.request.GetTty(),
		Stdin:     e.request.GetStdin(),
		StdinOnce: e.request.GetStdinOnce(),
		Ended:     pump.hasEnded(),
		Dropped:   pump.trouble.dropped.Load(),
	}, true
}

// EndedInputs are the running containers whose stdin has been closed for good.
// A predecessor may have died before it could say so to containerd.
func (p *Pumps) EndedInputs(ctx context.Context) (ids []string, err error) {
	if err := p.waitResumed(ctx); err != nil {
		return nil, err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for id, e := range p.entries {
		if pump := e.opened(); pump != nil && pump.stdin.over() && !pump.hasEnded() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Attach joins a container's streams until the client leaves, the container's
// output ends or ctx ends. The client sees output from now on. With stdin_once,
// and no terminal, the end of the first client's stdin ends the container's;
// otherwise only this client's. Errors: ErrNotFound, ErrInvalidArgument (TTY
// differs), ErrResourceExhausted (the client was too slow and is cut off),
// ErrUnavailable (the pumps have stopped), what writing to the client gave.
//
// When Attach returns, a Read or Write of s may still be blocked; the caller
// closes the client's connection, and Run waits for them.
func (p *Pumps) Attach(ctx context.Context, id string, s Streams) error {
	if err := ident.Check("container_id", id); err != nil {
		return err
	}
	pump, client, err := p.joined(ctx, id)
	if err != nil {
		return err
	}
	defer pump.hub.leave(client)
	// A client that cannot be interrupted in Write takes nothing more.
	defer client.finish(errLeft)
	if s.TTY != pump.request.GetTty() {
		return fmt.Errorf("attach to container %s with tty=%t, but it has tty=%t: %w",
			id, s.TTY, pump.request.GetTty(), errdefs.ErrInvalidArgument)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	session := &session{pump: pump, streams: s, client: client, results: make(chan error, 2)}
	if err := p.attend(func() error { return session.output(ctx) }); err != nil {
		return err
	}
	if s.Stdin != nil && pump.stdin != nil {
		if err := p.attend(func() error { return session.input(ctx) }); err != nil {
			return err
		}
	}
	if err := session.wait(ctx); err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	return nil
}

// joined finds a container's pump and joins its clients, also when a successor
// has the pump.
func (p *Pumps) joined(ctx context.Context, id string) (*pump, *client, error) {
	pump, err := p.find(ctx, id)
	if err == nil {
		client := pump.hub.join()
		if !errors.Is(client.reason(), errHandedOver) {
			return pump, client, nil
		}
	}
	if p.successor() == nil {
		return nil, nil, err
	}
	if pump, err = p.latecomer(id); err != nil {
		return nil, nil, err
	}
	client := pump.hub.join()
	if err := p.attend(func() error { p.follow(pump, newTicket(), true); return nil }); err != nil {
		return nil, nil, errors.Join(err, pump.stdin.release())
	}
	return pump, client, nil
}

// errLeft ends the queue of a client that has gone.
var errLeft = errors.New("client has left")

// session is one attached client.
type session struct {
	pump    *pump
	streams Streams
	client  *client
	results chan error // one from output; one from input if that ends the session
}

// wait returns the session's result.
func (s *session) wait(ctx context.Context) error {
	for {
		select {
		case err := <-s.results:
			return err
		case <-s.client.cut():
			return s.client.reason()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// output writes the queue to the client until its end.
func (s *session) output(ctx context.Context) error {
	for {
		queue, done, err := s.client.take()
		for _, next := range queue {
			if err == nil {
				err = s.write(next)
			}
		}
		if err != nil || done && len(queue) == 0 {
			s.results <- err
			return nil // the session's failure is not the pumps'
		}
		if done {
			continue
		}
		select {
		case <-s.client.more:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *session) write(next chunk) error {
	to := s.streams.Stdout
	if next.stream == 1 {
		to = s.streams.Stderr
	}
	if to != nil {
		if _, err := to.Write(next.data); err != nil {
			return fmt.Errorf("write to client: %w", err)
		}
	}
	return s.client.written(len(next.data))
}

// input copies the client's stdin. Its end ends the session only if the client
// has no output to wait for.
func (s *session) input(ctx context.Context) error {
	err := s.copyStdin(ctx)
	// A session that ends because this process does is not a client's leaving.
	stopping := s.pump.set.living.Err() != nil || errdefs.IsUnavailable(context.Cause(ctx))
	if r := s.pump.request; r.GetStdinOnce() && !r.GetTty() && !stopping {
		err = errors.Join(err, s.closeStdin(ctx))
	}
	if s.streams.Stdout == nil && s.streams.Stderr == nil {
		s.results <- err
	} else if err != nil && ctx.Err() == nil {
		s.pump.log.Debug("client's stdin ended", "error", err)
	}
	return nil // the session's failure is not the pumps'
}

func (s *session) copyStdin(ctx context.Context) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := s.streams.Stdin.Read(buffer)
		if n > 0 {
			if err := s.pump.stdin.write(ctx, buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the client's stdin: %w", err)
		}
	}
}

// closeStdin goes on when the client has left, but not when the process is to
// end: the next one tells containerd again.
func (s *session) closeStdin(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(s.pump.set.living, cancel)()
	done, err := s.pump.stdin.close(ctx)
	if err != nil || !done {
		return err
	}
	if next := s.pump.set.successor(); next != nil {
		err = next.CloseStdin(ctx, s.pump.id)
	} else {
		err = s.pump.inputSent(ctx)
	}
	if s.streams.CloseStdin != nil {
		err = errors.Join(err, s.streams.CloseStdin(ctx))
	}
	return err
}
