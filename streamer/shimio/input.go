package shimio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// input is a stream that the shim receives.
type input struct {
	bridge  *Bridge
	fifo    *os.File
	room    atomic.Int64  // bytes that the shim is ready for
	more    chan struct{} // has a token when room has grown
	buffer  [chunkSize]byte
	pending []byte // read and not sent yet
	closed  bool   // the FIFO has no writers and is empty
}

// openInput opens the reading end. The FIFO must have a writer.
func openInput(b *Bridge, path string) (link, error) {
	fifo, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open fifo: %w", err)
	}
	return &input{bridge: b, fifo: fifo, more: make(chan struct{}, 1)}, nil
}

func (i *input) name() string { return Stdin }

// carry sends what the FIFO has, as far as the shim is ready for it, and in
// the end its end. It returns when the shim has ended the stream.
func (i *input) carry(ctx context.Context, s *stream) error {
	i.room.Store(0)
	sending, stop := context.WithCancelCause(i.bridge.settling)
	var sender sync.WaitGroup
	sender.Go(func() {
		err := i.send(sending, s)
		if err == nil && i.bridge.settling.Err() != nil {
			i.linger(ctx)
			err = context.Cause(sending)
		}
		if err != nil {
			stop(err)
			s.cancel() // which ends updates
		}
	})
	err := s.updates(func(n int) {
		i.room.Add(int64(n))
		select {
		case i.more <- struct{}{}:
		default:
		}
	})
	if sending.Err() != nil { // what it ended by says more
		err = context.Cause(sending)
	}
	stop(err)
	sender.Wait()
	if errors.Is(err, io.EOF) {
		return errEnd
	}
	return err
}

// send returns nil when all is sent, or ctx has ended.
func (i *input) send(ctx context.Context, s *stream) error {
	release := interruptible(ctx, readDeadline{i.fifo})
	defer release()
	for !i.closed {
		// Only what can be sent is read: the rest stays in the FIFO for a successor.
		if !i.await(ctx) {
			return nil
		}
		if len(i.pending) == 0 && !i.read() {
			return nil
		}
		n := min(len(i.pending), int(i.room.Load()))
		if n == 0 {
			continue
		}
		if err := s.data(i.pending[:n]); err != nil {
			return fmt.Errorf("send input: %w", err)
		}
		i.room.Add(int64(-n))
		i.pending = i.pending[n:]
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("send the end of input: %w", err)
	}
	return nil
}

// read is false when it was interrupted.
func (i *input) read() bool {
	n, err := i.fifo.Read(i.buffer[:min(len(i.buffer), int(i.room.Load()))])
	i.pending = i.buffer[:n]
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	i.closed = err != nil // io.EOF, or a FIFO that cannot be read any more
	return true
}

// await waits until the shim is ready for something.
func (i *input) await(ctx context.Context) bool {
	for i.room.Load() <= 0 {
		select {
		case <-i.more:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// linger gives the shim a moment to take what was sent: some drop it with the
// connection.
func (i *input) linger(ctx context.Context) {
	timer := time.NewTimer(settleQuiet)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (i *input) end(bool) {
	_ = i.fifo.Close() // only read from
	close(i.bridge.input)
}

// readDeadline is a file whose reads are to be interrupted.
type readDeadline struct{ file *os.File }

func (r readDeadline) SetDeadline(at time.Time) error { return r.file.SetReadDeadline(at) }
