// Package flow keeps exec, attach and port-forward sessions busy with data
// that is checked: what a flow sends comes back from the other end, and each
// byte is compared as it arrives.
package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// Port is where a pod of Echo listens.
const Port = 9000

// Echo is an edit: the container answers each connection to Port with what
// it gets.
func Echo(name string) harness.ContainerEdit {
	return harness.Shell(fmt.Sprintf("echo %s is up; exec nc -ll -p %d -e cat", name, Port))
}

// Flow is one session that is kept busy.
type Flow struct {
	Name      string
	echo      *echo
	finishing atomic.Bool
	ended     chan struct{}
	err       error // valid after ended
}

// start runs a session that sends from the echo's source and writes to its
// sink.
func start(name string, run func(*echo) error) *Flow {
	f := &Flow{Name: name, echo: newEcho(), ended: make(chan struct{})}
	go func() { // Finish waits for it
		defer close(f.ended)
		defer f.echo.stop()
		err := run(f.echo)
		if err == nil && !f.finishing.Load() {
			err = errors.New("session ended by itself")
		}
		if err != nil {
			f.err = fmt.Errorf("%s after %d bytes: %w", name, f.Moved(), err)
		}
	}()
	return f
}

// Exec runs cat in the container.
func Exec(ctx context.Context, name string, transport stream.Transport, container *harness.Container) (*Flow, error) {
	url, err := container.ExecURL(ctx, false, true, "cat")
	if err != nil {
		return nil, err
	}
	return session(ctx, name, transport, url), nil
}

// Attach joins a container that runs cat, with stdin_once.
func Attach(ctx context.Context, name string, transport stream.Transport, container *harness.Container) (*Flow, error) {
	url, err := container.AttachURL(ctx, false, true)
	if err != nil {
		return nil, err
	}
	return session(ctx, name, transport, url), nil
}

func session(ctx context.Context, name string, transport stream.Transport, url string) *Flow {
	return start(name, func(e *echo) error {
		code, err := stream.Session{Transport: transport, URL: url, Stdin: e, Stdout: e.sink(), Stderr: io.Discard}.Run(ctx)
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d", code)
		}
		return err
	})
}

// Forward connects to Port of the pod.
func Forward(ctx context.Context, name string, transport stream.Transport, pod *harness.Pod) (*Flow, error) {
	url, err := pod.PortForwardURL(ctx, Port)
	if err != nil {
		return nil, err
	}
	forward, err := stream.OpenForward(ctx, transport, url, Port)
	if err != nil {
		return nil, err
	}
	conn, err := forward.Dial(Port)
	if err != nil {
		return nil, errors.Join(err, forward.Close())
	}
	return start(name, func(e *echo) error {
		defer func() { _ = forward.Close() }()
		defer context.AfterFunc(ctx, func() { _ = forward.Close() })() // ends reads
		sent := make(chan error, 1)
		go func() {
			_, err := io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{e}, make([]byte, blockSize))
			if transport == stream.WebSocket { // it has no half-close
				e.awaitAll()
				_ = conn.Close()
			}
			sent <- errors.Join(err, conn.CloseWrite())
		}()
		_, err := io.Copy(e.sink(), conn)
		e.stop()
		missing := e.complete() // what has not come by now does not come any more
		if transport == stream.WebSocket && errors.Is(err, io.ErrClosedPipe) {
			err = nil
		}
		return errors.Join(err, <-sent, missing, conn.Err())
	}), nil
}

// Moved is the number of bytes that have come back.
func (f *Flow) Moved() int64 { return f.echo.moved() }

// Ended tells whether the session has ended.
func (f *Flow) Ended() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// Err waits for the session's end and returns its error.
func (f *Flow) Err(ctx context.Context) error {
	select {
	case <-f.ended:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("%s does not end after %d bytes: %w", f.Name, f.Moved(), ctx.Err())
	}
}

// Finish ends the sending and waits until everything has come back and the
// session has ended. An error says what is wrong with it.
func (f *Flow) Finish(ctx context.Context) error {
	f.finishing.Store(true)
	f.echo.stop()
	if err := f.Err(ctx); err != nil {
		return err
	}
	return f.echo.complete()
}

// AwaitMoved waits until n more bytes have come back.
func (f *Flow) AwaitMoved(ctx context.Context, n int64) error {
	goal := f.Moved() + n
	return harness.Wait(ctx, "data of "+f.Name, func(context.Context) error {
		if f.Ended() {
			return fmt.Errorf("session has ended: %w", f.err)
		}
		if moved := f.Moved(); moved < goal {
			return fmt.Errorf("%d bytes of %d have come back", moved, goal)
		}
		return nil
	})
}
