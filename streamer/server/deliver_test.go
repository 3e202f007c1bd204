package server_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/moby/spdystream/spdy"

	"github.com/trivet-cri/trivet/streamer/eager"
	"github.com/trivet-cri/trivet/streamer/server"
)

// mixed are frames of streams, of all sizes and in any order, and what each
// stream is sent by them. Streams that nobody has opened are among them.
func mixed(t *testing.T, random *rand.Rand, streams int) (all []byte, sent map[uint32][]byte) {
	t.Helper()
	sizes := []int{0, 1, 100, server.SmallIntake - 8, server.SmallIntake, server.PieceSize, server.LargeIntake - 8, server.LargeIntake, server.LargeIntake + 1}
	sent = make(map[uint32][]byte)
	var list []spdy.Frame
	for i := range streams {
		list = append(list, syn(spdy.StreamId(2*i+1)))
		sent[uint32(2*i+1)] = nil
	}
	for i := range 30 {
		id, size := uint32(2*random.IntN(streams+1)+1), sizes[random.IntN(len(sizes))]
		repeat := 1
		if size <= 100 {
			repeat = random.IntN(200)
		}
		for range repeat {
			data := bytes.Repeat([]byte{byte(random.Int())}, size)
			list = append(list, &spdy.DataFrame{StreamId: spdy.StreamId(id), Data: data})
			if _, ok := sent[id]; ok {
				sent[id] = append(sent[id], data...)
			}
		}
		if random.IntN(4) == 0 {
			list = append(list, &spdy.PingFrame{Id: uint32(i + 1)})
		}
	}
	for id := range sent {
		list = append(list, &spdy.DataFrame{StreamId: spdy.StreamId(id), Flags: spdy.DataFlagFin})
	}
	return frames(t, list...), sent
}

// TestMixed: what streams are sent arrives whole and in order at readers of
// all kinds, over all kinds of connections. One reader leaves.
func TestMixed(t *testing.T) {
	t.Parallel()
	const streams = 6
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	all, sent := mixed(t, random, streams)
	here, there := tcp(t)
	go inPieces(there, all) // ends when all was read
	for name, from := range map[string]io.Reader{
		"TCP": server.Late(here, nil), "at once": bytes.NewReader(all), "odd": odd{bytes.NewReader(all)},
	} {
		wire := server.NewWire(from)
		var moving sync.WaitGroup
		seen := make(chan string, 1)
		moving.Go(func() { seen <- passed(t, wire) })
		for i := range streams {
			id := uint32(2*i + 1)
			for wire.Inbox(id) == nil {
				runtime.Gosched()
			}
			moving.Go(func() {
				in := wire.Inbox(id)
				got := &whimsical{limit: func(n int) int { return rand.IntN(n + 1) }}
				var err error
				switch i {
				case 0: // leaves
					_, _ = io.CopyN(io.Discard, in, 1000)
					_ = in.Close()
					return
				case 1:
					_, err = io.Copy(struct{ io.Writer }{got}, struct{ io.Reader }{in})
				case 2:
					got.limit = func(n int) int { return n }
					fallthrough
				default:
					_, err = in.(io.WriterTo).WriteTo(got)
				}
				if err != nil || !bytes.Equal(got.got.Bytes(), sent[id]) {
					t.Errorf("%s: stream %d has %d bytes of %d or others, %v", name, id, got.got.Len(), len(sent[id]), err)
				}
			})
		}
		within(t, "end", seen)
		moving.Wait()
		if wire.Waiting() > 0 || !wire.Forgets() {
			t.Errorf("%s: %d pieces are left, parts of the buffer: %t", name, wire.Waiting(), !wire.Forgets())
		}
	}
}

// TestHalfFrame: what is complete is delivered though more has begun, and
// before the library sees what is behind it.
func TestHalfFrame(t *testing.T) {
	t.Parallel()
	half := frames(t, &spdy.DataFrame{StreamId: 1, Data: make([]byte, 1000)})[:500]
	for name, last := range map[string][]byte{"header": half[:5], "none of its data": half[:8], "data": half, "control": frames(t, syn(3))[:9]} {
		here, there := tcp(t)
		wire := server.NewWire(server.Late(here, nil))
		var all []spdy.Frame
		for range 5 {
			all = append(all, &spdy.DataFrame{StreamId: 1, Data: []byte("complete")})
		}
		_, _ = there.Write(slices.Concat(frames(t, syn(1)), frames(t, all...), last))
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, wire)
			ended <- err
		}()
		for wire.Inbox(1) == nil {
			runtime.Gosched()
		}
		got := make([]byte, 5*len("complete"))
		arrived := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(wire.Inbox(1), got)
			arrived <- err
		}()
		if err := within(t, name+": arrival", arrived); err != nil || string(got[len(got)-8:]) != "complete" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_ = there.Close()
		if err := within(t, "end", ended); err != nil {
			t.Errorf("%s: ends with %v", name, err)
		}
	}
	wire := server.NewWire(bytes.NewReader(frames(t, syn(1), &spdy.DataFrame{StreamId: 1, Data: []byte("a")}, &spdy.PingFrame{Id: 1})))
	framer, err := spdy.NewFramer(nil, wire)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := framer.ReadFrame(); err != nil {
			t.Fatal(err)
		}
	}
	if wire.Waiting() != 1 {
		t.Error("a control frame came before the data in front of it")
	}
}

// TestStuckPod: a pod that does not read holds up nobody else, and its
// stream's end is not waited for.
func TestStuckPod(t *testing.T) {
	t.Parallel()
	for _, end := range []func(server.Wire, net.Conn){
		func(w server.Wire, pod net.Conn) { _, _ = w.Inbox(1).Close(), pod.Close() },
		func(_ server.Wire, pod net.Conn) { _ = pod.Close() },
	} {
		pod, listener := tcp(t)
		_, _ = pod.SetWriteBuffer(4<<10), listener.SetReadBuffer(4<<10)
		here, there := tcp(t)
		wire := server.NewWire(server.Late(here, nil))
		var moving sync.WaitGroup
		moving.Go(func() { _, _ = io.Copy(io.Discard, wire) })
		_, _ = there.Write(frames(t, syn(1), syn(3)))
		for wire.Inbox(3) == nil {
			runtime.Gosched()
		}
		stuck := make(chan error, 1)
		moving.Go(func() {
			_, err := wire.Inbox(1).(io.WriterTo).WriteTo(eager.New(pod))
			stuck <- err
		})
		for range server.InboxLimit / 2 { // more than the kernel takes
			_, _ = there.Write(frames(t, &spdy.DataFrame{StreamId: 1, Data: make([]byte, server.PieceSize)}))
		}
		for wire.Waiting() < server.InboxLimit/4 {
			runtime.Gosched()
		}
		_, _ = there.Write(frames(t, &spdy.DataFrame{StreamId: 3, Data: []byte("behind")}))
		arrived := make(chan string, 1)
		moving.Go(func() {
			got := make([]byte, len("behind"))
			_, _ = io.ReadFull(wire.Inbox(3), got)
			arrived <- string(got)
		})
		if got := within(t, "other stream", arrived); got != "behind" {
			t.Errorf("the other stream has %q", got)
		}
		end(wire, pod)
		_ = within(t, "end of the stuck stream", stuck)
		_ = there.Close()
		moving.Wait()
	}
}
