package server_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/moby/spdystream/spdy"

	"github.com/trivet-cri/trivet/streamer/server"
)

// crowded is a wire of which one stream has more than fits, and what its
// reading ends with.
func crowded(t *testing.T) (server.Wire, <-chan error) {
	t.Helper()
	all := []spdy.Frame{syn(1), syn(3)}
	for range server.InboxLimit + 2 {
		all = append(all, &spdy.DataFrame{StreamId: 1, Data: make([]byte, server.PieceSize)})
	}
	all = append(all, &spdy.DataFrame{StreamId: 3, Data: []byte("behind"), Flags: spdy.DataFlagFin})
	wire := server.NewWire(bytes.NewReader(frames(t, all...)))
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, wire)
		ended <- err
	}()
	for wire.Waiting() < server.InboxLimit {
		runtime.Gosched()
	}
	return wire, ended
}

// TestInboxFull: the wire waits for the reader of a full inbox, its drop or
// the end.
func TestInboxFull(t *testing.T) {
	t.Parallel()
	for name, release := range map[string]func(server.Wire){
		"read": func(w server.Wire) {
			_, _ = io.CopyN(io.Discard, w.Inbox(1), (server.InboxLimit+2)*server.PieceSize)
		},
		"drop": func(w server.Wire) { _ = w.Inbox(1).Close() },
		"end":  server.Wire.End,
	} {
		wire, ended := crowded(t)
		other := wire.Inbox(3)
		select {
		case err := <-ended:
			t.Errorf("%s: all was read though nobody takes it: %v", name, err)
		default:
		}
		release(wire)
		if err := within(t, "end", ended); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := "behind"
		if name == "end" {
			want = ""
		}
		if got, err := io.ReadAll(other); string(got) != want || err != nil {
			t.Errorf("%s: the other stream has %q, %v", name, got, err)
		}
	}
}
