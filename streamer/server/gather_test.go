package server_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/moby/spdystream/spdy"

	"github.com/trivet-cri/trivet/streamer/server"
)

// writes is a connection that keeps what each write brings.
type writes struct {
	net.Conn
	all [][]byte
}

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, bytes.Clone(p))
	return len(p), nil
}

// TestGather writes frames of all sizes through the library's framer: each
// is one write, and reads back.
func TestGather(t *testing.T) {
	t.Parallel()
	conn := &writes{}
	framer, err := spdy.NewFramer(server.Gather(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{0, 1, 7, 8, 9, 1 << 10, 1<<10 + 1, 64 << 10, 0}
	var frames []spdy.Frame
	for _, size := range sizes {
		frames = append(frames, &spdy.DataFrame{StreamId: 3, Data: bytes.Repeat([]byte{'x'}, size)})
	}
	frames = append(frames,
		&spdy.SynReplyFrame{StreamId: 3, Headers: http.Header{"name": {"value"}}},
		&spdy.RstStreamFrame{StreamId: 3, Status: spdy.Cancel},
		&spdy.PingFrame{Id: 2},
		&spdy.GoAwayFrame{LastGoodStreamId: 3},
	)
	for i, frame := range frames {
		if err := framer.WriteFrame(frame); err != nil {
			t.Fatal(err)
		}
		if len(conn.all) != i+1 {
			t.Fatalf("%d writes after %d frames", len(conn.all), i+1)
		}
	}
	reader, err := spdy.NewFramer(nil, bytes.NewReader(bytes.Join(conn.all, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range frames {
		frame, err := reader.ReadFrame()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if data, ok := frame.(*spdy.DataFrame); ok && len(data.Data) != sizes[i] {
			t.Errorf("frame %d has %d bytes, not %d", i, len(data.Data), sizes[i])
		}
	}
}

// TestGatherTCP sends a big frame over a real socket, where it is not copied.
func TestGatherTCP(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	framer, err := spdy.NewFramer(server.Gather(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("trivet"), 1<<11)
	for range 2 {
		if err := framer.WriteFrame(&spdy.DataFrame{StreamId: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 2*(8+len(data)))
	if _, err := io.ReadFull(client, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[8:8+len(data)], data) || !bytes.Equal(got[16+len(data):], data) {
		t.Error("other bytes have come")
	}
}
