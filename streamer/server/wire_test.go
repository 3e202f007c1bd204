package server_test

import (
	"bytes"
	"errors"
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

// TestSplit: a big data frame becomes several with the same bytes, whose last
// has its end; others stay.
func TestSplit(t *testing.T) {
	t.Parallel()
	const limit = server.FrameLimit
	big := bytes.Repeat([]byte("0123456789"), limit/3)
	sent := frames(t, syn(1, "streamType", "stdin"), &spdy.DataFrame{StreamId: 1, Data: big, Flags: spdy.DataFlagFin},
		&spdy.DataFrame{StreamId: 3, Data: big[:limit]}, &spdy.DataFrame{StreamId: 3}, &spdy.PingFrame{Id: 1})
	for name, reader := range map[string]io.Reader{
		"at once": bytes.NewReader(sent), "in bytes": iotest.OneByteReader(bytes.NewReader(sent)),
	} {
		framer, err := spdy.NewFramer(nil, server.Split(reader))
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		var kinds string
		for {
			frame, err := framer.ReadFrame()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch frame := frame.(type) {
			case *spdy.DataFrame:
				kinds += "d"
				if frame.StreamId == 1 {
					got = append(got, frame.Data...)
				}
				if last := len(got) == len(big) && frame.StreamId == 1; (frame.Flags&spdy.DataFlagFin != 0) != last || len(frame.Data) > limit {
					t.Errorf("%s: frame of %d bytes with flags %d", name, len(frame.Data), frame.Flags)
				}
			default:
				kinds += "c"
			}
		}
		if kinds != "cddddddc" || !bytes.Equal(got, big) {
			t.Errorf("%s: frames %s, %d bytes", name, kinds, len(got))
		}
	}
}

// FuzzSplit: whatever comes, no more and no less comes out, and heads only
// where a frame begins.
func FuzzSplit(f *testing.F) {
	f.Add(frames(f, syn(1, "a", "b"), &spdy.DataFrame{StreamId: 1, Data: make([]byte, 70000), Flags: spdy.DataFlagFin}))
	f.Add([]byte{0, 0, 0, 1, 1, 255, 255, 255, 9})
	f.Add([]byte{128, 3, 0, 1, 1, 255, 255, 255, 9})
	f.Fuzz(func(t *testing.T, sent []byte) {
		out, err := io.ReadAll(server.Split(bytes.NewReader(sent)))
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if pieces := len(sent) / server.FrameLimit; len(out) > len(sent)+8*(pieces+1) {
			t.Errorf("%d bytes became %d", len(sent), len(out))
		}
	})
}
