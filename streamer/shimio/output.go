package shimio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// settleRoom is what a FIFO is enlarged by, in bytes, for what is under way.
const settleRoom = 4 * window

var (
	// settleQuiet is the silence after which nothing is under way any more.
	settleQuiet = 50 * time.Millisecond
	// settleLimit bounds the wait for it: some shims do not heed the window.
	settleLimit = time.Second
)

// errEnd is a stream's end that the shim has told.
var errEnd = errors.New("the stream has ended")

// errNoReader means that nobody wants the output any more.
var errNoReader = errors.New("the fifo has no reader")

// output is a stream that the shim sends.
type output struct {
	bridge *Bridge
	called string
	fifo   *os.File
	log    *slog.Logger
	heard  atomic.Int64 // when something came last, in nanoseconds of the epoch
	lost   int          // bytes; belongs to carry
}

// openOutput opens the writing end. The FIFO must have a reader.
func openOutput(b *Bridge, name, path string) (link, error) {
	fifo, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open fifo: %w", err)
	}
	return &output{bridge: b, called: name, fifo: fifo, log: b.plan.Log.With("stream", name)}, nil
}

func (o *output) name() string { return o.called }

// carry receives into the FIFO, whose fullness holds the shim back.
func (o *output) carry(ctx context.Context, s *stream) error {
	o.heard.Store(time.Now().UnixNano())
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		o.watch(ctx, s, done)
	}()
	defer func() { <-watched }()
	defer close(done)
	err := s.receive(o.wanted, func(data []byte) error {
		o.heard.Store(time.Now().UnixNano())
		n, err := o.fifo.Write(data)
		if err != nil {
			o.lost += len(data) - n
			return fmt.Errorf("write to fifo: %w", err)
		}
		return nil
	})
	switch {
	case errors.Is(err, errUsedUp):
		return nil // nothing is under way
	case errors.Is(err, io.EOF):
		return errEnd
	case errors.Is(err, unix.EPIPE):
		return errNoReader
	}
	return err
}

// wanted is false once a successor is to have what follows.
func (o *output) wanted() bool { return o.bridge.settling.Err() == nil }

// watch ends a carry: at once with ctx, and when nothing comes after Settle.
func (o *output) watch(ctx context.Context, s *stream, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-o.bridge.settling.Done():
		o.enlarge()
		o.awaitQuiet(ctx, done)
	}
	s.cancel()
	_ = o.fifo.SetWriteDeadline(time.Unix(1, 0)) // in the past
}

func (o *output) awaitQuiet(ctx context.Context, done <-chan struct{}) {
	begun := time.Now()
	timer := time.NewTimer(settleQuiet)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		quiet := time.Since(time.Unix(0, o.heard.Load()))
		if quiet >= settleQuiet || time.Since(begun) >= settleLimit {
			return
		}
		timer.Reset(settleQuiet - quiet)
	}
}

// enlarge makes room for what is under way in a FIFO that nobody reads now.
func (o *output) enlarge() {
	raw, err := o.fifo.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // where the kernel refuses, there may be room still
		if size, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil {
			_, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size+settleRoom)
		}
	})
}

func (o *output) end(reached bool) {
	if reached && o.bridge.plan.Ended != nil {
		o.bridge.plan.Ended(o.called)
	}
	_ = o.fifo.Close() // what was written stays
	if o.lost > 0 && o.bridge.life.Err() == nil {
		o.log.Warn("output of the shim did not fit into its fifo and is lost", "bytes", o.lost)
	}
}
