package server_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/moby/spdystream/spdy"

	"github.com/trivet-cri/trivet/streamer/server"
)

// outcome is what becomes of what a client says.
type outcome struct {
	library []byte // reads this
	err     error
	streams map[uint32][]byte
}

func outcomeOf(from io.Reader) outcome {
	wire := server.NewWire(from)
	out, err := io.ReadAll(wire)
	o := outcome{out, err, make(map[uint32][]byte)}
	for stream := range uint32(100) {
		if in := wire.Inbox(stream); in != nil {
			wire.Finish(stream)
			o.streams[stream], _ = io.ReadAll(in)
		}
	}
	return o
}

// begins tells whether more may come of it, when the rest of a frame comes.
func (o outcome) begins(more outcome) bool {
	for stream, data := range o.streams {
		if !bytes.HasPrefix(more.streams[stream], data) {
			return false
		}
	}
	return bytes.HasPrefix(more.library, o.library)
}

// complete are the frames that were said to their end.
func complete(said []byte) []byte {
	n := 0
	for len(said)-n >= 8 {
		size := 8 + int(binary.BigEndian.Uint32(said[n+4:])&0xffffff)
		if len(said)-n < size {
			break
		}
		n += size
	}
	return said[:n]
}

// FuzzLate: it makes no difference how a connection is read, but for how much
// of a frame that does not end is delivered. What is said has
// so many zeros, up to 1 MiB, somewhere in it.
func FuzzLate(f *testing.F) {
	opened := frames(f, syn(1, "a", "b"))
	add := func(size byte, zeros int, more ...spdy.Frame) {
		said := append(slices.Clone(opened), 0, 0, 0, 1, 0, size, 0, 0)
		f.Add(append(said, frames(f, more...)...), uint16(len(said)), uint32(zeros))
	}
	add(1, 1<<16, syn(3), &spdy.DataFrame{StreamId: 3, Data: []byte("a"), Flags: spdy.DataFlagFin})
	add(4, 4<<16, &spdy.PingFrame{Id: 1}, &spdy.DataFrame{StreamId: 1, Data: []byte("a")})
	add(5, 3<<16)
	add(0, 0, slices.Repeat([]spdy.Frame{&spdy.DataFrame{StreamId: 1, Data: []byte("small")}}, 70)...)
	f.Add([]byte{0, 0, 0, 1, 1, 255, 255, 255, 9}, uint16(8), uint32(9))
	f.Add([]byte{128, 3, 0, 3, 0, 0, 0, 9, 0}, uint16(0), uint32(0))
	f.Fuzz(func(t *testing.T, said []byte, at uint16, zeros uint32) {
		n := min(len(said), int(at))
		said = slices.Concat(said[:n], make([]byte, zeros%(1<<20)), said[n:])
		here, there := tcp(t)
		go func() { // ends when all was read, or after Close
			_, _ = there.Write(said[n/2 : n])
			_, _ = there.Write(said[n:])
			_ = there.CloseWrite()
		}()
		_ = here.SetDeadline(time.Now().Add(20 * time.Second))
		whole := outcomeOf(bytes.NewReader(complete(said)))
		late, plain := outcomeOf(server.Late(here, said[:n/2])), outcomeOf(bytes.NewReader(said))
		if !errors.Is(late.err, plain.err) || !whole.begins(late) || !whole.begins(plain) || !late.begins(plain) && !plain.begins(late) {
			t.Errorf("late: %.200v\nplain: %.200v\nwhole: %.200v", late, plain, whole)
		}
	})
}
