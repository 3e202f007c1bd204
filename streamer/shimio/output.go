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

const (
	// settleRoom is what a FIFO is enlarged by, in bytes, for what is under way,
	// if the kernel lets this process.
	settleRoom = 4 * window
	// fewMessages are so few while a bridge settles that the stream is slow.
	fewMessages = 3
	// roomEvery is the pause between two looks at a FIFO that is too full.
	roomEvery = 5 * time.Millisecond
)

var (
	// settleQuiet is the silence after which nothing is under way any more.
	settleQuiet = 50 * time.Millisecond
	// settleSlow is the same after a message of a stream with few of them: the
	// moment after one is the farthest from the next.
	settleSlow = 10 * time.Millisecond
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
	count  atomic.Int64 // of messages
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
	err := s.receive(o.more, func(data []byte) error {
		o.heard.Store(time.Now().UnixNano())
		o.count.Add(1)
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

// more lets the shim send unless a successor is to have what follows. What a
// bridge that is to settle may get must find room in a FIFO that nobody reads.
func (o *output) more(open int) (bool, error) {
	for o.bridge.settling.Err() == nil {
		if open >= window {
			return false, nil
		}
		if o.hasRoom() {
			return true, nil
		}
		if open > 0 {
			return false, nil
		}
		timer := time.NewTimer(roomEvery)
		select {
		case <-timer.C:
		case <-o.bridge.settling.Done():
		}
		timer.Stop()
	}
	if open == 0 {
		return false, errUsedUp
	}
	return false, nil
}

// hasRoom tells whether the FIFO is so empty that it surely holds what may be
// under way. A pipe holds pages, of which two neighbours have more than one
// page's bytes together, so that its bytes may take twice their space.
func (o *output) hasRoom() (room bool) {
	if !o.bridge.plan.Room {
		return true
	}
	raw, err := o.fifo.SyscallConn()
	if err != nil {
		return true // the next write says what is wrong
	}
	_ = raw.Control(func(fd uintptr) {
		size, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0)
		unread, err2 := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		room = err != nil || err2 != nil || unread == 0 || 2*(unread+2*window) < size
	})
	return room
}

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
	begun, before := time.Now(), o.count.Load()
	timer := time.NewTimer(settleSlow)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wanted := settleQuiet
		if n := o.count.Load() - before; n > 0 && n <= fewMessages {
			wanted = settleSlow
		}
		quiet := min(time.Since(time.Unix(0, o.heard.Load())), time.Since(begun))
		if quiet >= wanted || time.Since(begun) >= settleLimit {
			return
		}
		timer.Reset(min(wanted-quiet, settleSlow))
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
