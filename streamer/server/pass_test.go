package server_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/moby/spdystream/spdy"

	"github.com/trivet-cri/trivet/streamer/server"
)

// whimsical takes as much of what is tried as it likes, and all that is written.
type whimsical struct {
	limit func(int) int // of a try
	fail  error         // of the next try

	mu            sync.Mutex
	got           bytes.Buffer
	tried, wrote  int // bytes
	tries, writes int
	failed        int // tries
	busy          bool
}

func (w *whimsical) TryWrite(data [][]byte) (int, error) {
	defer w.alone()()
	if w.fail != nil {
		w.failed++
		return 0, w.fail
	}
	if len(data) > server.Gathered {
		panic("too many at a time")
	}
	all := bytes.Join(data, nil)
	n := w.limit(len(all))
	w.got.Write(all[:n])
	w.tried += n
	w.tries++
	return n, nil
}

func (w *whimsical) Write(p []byte) (int, error) {
	defer w.alone()()
	w.wrote += len(p)
	w.writes++
	return w.got.Write(p)
}

// alone sees to it that nobody else writes.
func (w *whimsical) alone() func() {
	w.mu.Lock()
	if w.busy {
		panic("two write at a time")
	}
	w.busy = true
	w.mu.Unlock()
	return func() {
		w.mu.Lock()
		w.busy = false
		w.mu.Unlock()
	}
}

// pushed has an inbox write to w what comes for stream 1 on a connection, on
// which the frames arrive one by one.
func pushed(t *testing.T, w *whimsical, all ...spdy.Frame) (got []byte, err error) {
	t.Helper()
	r, client := io.Pipe()
	wire := server.NewWire(r)
	var moving sync.WaitGroup
	moving.Go(func() { _, _ = io.Copy(io.Discard, wire) })
	_, _ = client.Write(frames(t, syn(1)))
	for wire.Inbox(1) == nil {
		runtime.Gosched()
	}
	ended := make(chan error, 1)
	moving.Go(func() {
		_, err := wire.Inbox(1).(io.WriterTo).WriteTo(w)
		ended <- err
	})
	for !wire.Idle(1) {
		runtime.Gosched()
	}
	moving.Go(func() {
		for _, frame := range all {
			_, _ = client.Write(frames(t, frame))
		}
		_ = client.Close()
	})
	err = within(t, "end", ended)
	moving.Wait()
	return w.got.Bytes(), err
}

// TestPass: what a reader waits for is written without it, and what the other
// side does not take, in the right order, by it.
func TestPass(t *testing.T) {
	t.Parallel()
	var sent []byte
	var all []spdy.Frame
	for i := range 50 {
		data := bytes.Repeat([]byte{byte(i)}, rand.IntN(2*server.PieceSize))
		sent = append(sent, data...)
		all = append(all, &spdy.DataFrame{StreamId: 1, Data: data})
	}
	all = append(all, &spdy.DataFrame{StreamId: 1, Flags: spdy.DataFlagFin})
	for name, limit := range map[string]func(int) int{
		"all":       func(n int) int { return n },
		"nothing":   func(int) int { return 0 },
		"some":      func(n int) int { return rand.IntN(n + 1) },
		"sometimes": func(n int) int { return n * rand.IntN(2) },
	} {
		w := &whimsical{limit: limit}
		got, err := pushed(t, w, all...)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(sent), err)
		}
		if name == "all" && w.writes > 0 || name == "nothing" && w.tried > 0 {
			t.Errorf("%s: %d writes, %d bytes tried", name, w.writes, w.tried)
		}
	}
}

// TestPassFails: a failure is the reader's, and the stream goes on.
func TestPassFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	all := []spdy.Frame{
		&spdy.DataFrame{StreamId: 1, Data: []byte("a")}, &spdy.DataFrame{StreamId: 1, Data: []byte("b"), Flags: spdy.DataFlagFin},
	}
	if got, err := pushed(t, &whimsical{fail: broken}, all...); !errors.Is(err, broken) || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// TestPassFailsOnce: a failure is of one writer. What comes until the reader
// knows of it is for the next.
func TestPassFailsOnce(t *testing.T) {
	t.Parallel()
	var sent bytes.Buffer
	sent.Write(frames(t, syn(1)))
	for range 20 { // each is delivered alone, at once after the one before
		sent.Write(frames(t, &spdy.DataFrame{StreamId: 1, Data: []byte("a")}, &spdy.DataFrame{StreamId: 9}))
	}
	sent.Write(frames(t, &spdy.DataFrame{StreamId: 1, Flags: spdy.DataFlagFin}))
	r, client := io.Pipe()
	wire := server.NewWire(r)
	var moving sync.WaitGroup
	moving.Go(func() { _, _ = io.Copy(io.Discard, wire) })
	_, _ = client.Write(sent.Bytes()[:len(frames(t, syn(1)))])
	for wire.Inbox(1) == nil {
		runtime.Gosched()
	}
	failing := &whimsical{fail: errors.New("broken")}
	var next bytes.Buffer
	ended := make(chan [2]error, 1)
	moving.Go(func() {
		in, _ := wire.Inbox(1).(io.WriterTo)
		_, first := in.WriteTo(failing)
		_, second := in.WriteTo(&next)
		ended <- [2]error{first, second}
	})
	for !wire.Idle(1) {
		runtime.Gosched()
	}
	_, _ = client.Write(sent.Bytes()[len(frames(t, syn(1))):])
	_ = client.Close()
	errs := within(t, "end", ended)
	moving.Wait()
	if !errors.Is(errs[0], failing.fail) || errs[1] != nil || failing.failed != 1 || next.Len() != 19 {
		t.Errorf("errors %v after %d failures, %d bytes went to the next writer", errs, failing.failed, next.Len())
	}
}
