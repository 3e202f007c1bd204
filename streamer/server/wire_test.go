package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/iotest"

	"github.com/moby/spdystream/spdy"

	"github.com/trivet-cri/trivet/streamer/server"
)

// frames are the bytes of frames as a client's library writes them.
func frames(t testing.TB, all ...spdy.Frame) []byte {
	t.Helper()
	var out bytes.Buffer
	framer, err := spdy.NewFramer(&out, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range all {
		if err := framer.WriteFrame(frame); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func syn(id spdy.StreamId, headers ...string) spdy.Frame {
	header := make(http.Header)
	for i := 0; i < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	return &spdy.SynStreamFrame{StreamId: id, Headers: header}
}

// passed are the frames that the library gets to see.
func passed(t *testing.T, from io.Reader) (seen string) {
	t.Helper()
	framer, err := spdy.NewFramer(nil, from)
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			return seen
		}
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *spdy.DataFrame:
			seen += fmt.Sprintf("data %d %d %d;", frame.StreamId, len(frame.Data), frame.Flags)
		case *spdy.SynStreamFrame:
			seen += fmt.Sprintf("open %d %s;", frame.StreamId, frame.Headers.Get("streamType"))
		case *spdy.RstStreamFrame:
			seen += fmt.Sprintf("reset %d;", frame.StreamId)
		case *spdy.PingFrame:
			seen += fmt.Sprintf("ping %d;", frame.Id)
		}
	}
}

// TestWire: data goes to its stream's inbox and all else to the library, also
// the ends of streams and what belongs to none.
func TestWire(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789"), server.PieceSize/3)
	sent := frames(t, syn(1, "streamType", "stdin"), syn(3, "streamType", "error"), &spdy.DataFrame{StreamId: 1, Data: big, Flags: spdy.DataFlagFin},
		&spdy.DataFrame{StreamId: 3, Data: []byte("a")}, &spdy.PingFrame{Id: 1}, &spdy.DataFrame{StreamId: 3, Data: []byte("b")}, &spdy.DataFrame{StreamId: 3},
		&spdy.DataFrame{StreamId: 1, Data: []byte("after its end")}, &spdy.DataFrame{StreamId: 9, Data: []byte("of none")},
		&spdy.RstStreamFrame{StreamId: 3, Status: spdy.Cancel}, syn(1, "streamType", "again"))
	for name, reader := range map[string]io.Reader{
		"at once": bytes.NewReader(sent), "in bytes": iotest.OneByteReader(bytes.NewReader(sent)),
	} {
		wire := server.NewWire(reader)
		const want = "open 1 stdin;open 3 error;data 1 0 1;ping 1;data 9 0 0;reset 3;open 1 again;"
		if seen := passed(t, wire); seen != want {
			t.Errorf("%s: the library sees %s", name, seen)
		}
		for stream, want := range map[uint32][]byte{1: big, 3: []byte("ab")} {
			if got, err := io.ReadAll(wire.Inbox(stream)); !bytes.Equal(got, want) || err != nil {
				t.Errorf("%s: stream %d has %.20q, %v", name, stream, got, err)
			}
		}
	}
}

// TestWireBadSizes: what would put the library and the wire out of step.
func TestWireBadSizes(t *testing.T) {
	t.Parallel()
	for _, sent := range [][]byte{{128, 3, 0, 1, 0, 0, 0, 9}, {128, 3, 0, 3, 0, 0, 0, 9}, {128, 3, 0, 3, 0, 0, 0, 0}} {
		if _, err := io.ReadAll(server.NewWire(bytes.NewReader(append(sent, make([]byte, 20)...)))); !errors.Is(err, server.ErrBadFrame) {
			t.Errorf("%v: error %v", sent, err)
		}
	}
}

// FuzzWire: whatever comes, all of it is read, and no more comes out.
func FuzzWire(f *testing.F) {
	f.Add(frames(f, syn(1, "a", "b"), &spdy.DataFrame{StreamId: 1, Data: make([]byte, 70000), Flags: spdy.DataFlagFin}))
	f.Add([]byte{0, 0, 0, 1, 1, 255, 255, 255, 9})
	f.Add([]byte{128, 3, 0, 1, 1, 255, 255, 255, 9})
	f.Fuzz(func(t *testing.T, sent []byte) {
		from := bytes.NewReader(sent)
		wire := server.NewWire(from)
		out, err := io.ReadAll(wire)
		if err == nil && from.Len() > 0 {
			t.Errorf("%d bytes are left", from.Len())
		}
		total := len(out)
		for stream := range uint32(100) {
			if in := wire.Inbox(stream); in != nil {
				wire.Finish(stream)
				got, _ := io.ReadAll(in)
				total += len(got)
			}
		}
		if total > len(sent) {
			t.Errorf("%d bytes became %d", len(sent), total)
		}
	})
}
