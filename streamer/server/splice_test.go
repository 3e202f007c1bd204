package server_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/moby/spdystream/spdy"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/streamer/forward"
	"github.com/trivet-cri/trivet/streamer/server"
)

// tcpPair are both ends of a connection.
func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialled.Close(), accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// TestSplice: what two pods send arrives whole, in frames of one connection
// that others write to meanwhile.
func TestSplice(t *testing.T) {
	t.Parallel()
	client, conn := tcpPair(t)
	_ = conn.SetWriteBuffer(16 << 10) // fills up
	wire := server.WireOf(conn)
	var all errgroup.Group
	sent, counted := make(map[spdy.StreamId][]byte), make(map[spdy.StreamId]*int)
	for stream := spdy.StreamId(1); stream <= 3; stream += 2 {
		data := make([]byte, 1<<20+int(stream))
		_, _ = rand.Read(data)
		n := 0
		sent[stream], counted[stream] = data, &n
		pod, inside := tcpPair(t)
		all.Go(func() error {
			_, err := inside.Write(data)
			return errors.Join(err, inside.Close())
		})
		all.Go(func() error { return wire.Splice(uint32(stream), pod, func(moved int) { n += moved }) })
	}
	sent[5] = bytes.Repeat([]byte("between"), 1000)
	all.Go(func() error {
		for range 1000 {
			if _, err := wire.Send(5, []byte("between")); err != nil {
				return err
			}
		}
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(all.Wait(), conn.CloseWrite()) }()
	framer, err := spdy.NewFramer(nil, client)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[spdy.StreamId][]byte)
	for {
		frame, err := framer.ReadFrame()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data := frame.(*spdy.DataFrame)
		got[data.StreamId] = append(got[data.StreamId], data.Data...)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for stream, want := range sent {
		if !bytes.Equal(got[stream], want) {
			t.Errorf("stream %d: %d bytes of %d", stream, len(got[stream]), len(want))
		}
		if n := counted[stream]; n != nil && *n != len(want) {
			t.Errorf("stream %d: %d bytes counted of %d", stream, *n, len(want))
		}
	}
}

// TestSpliceEnds with an error of its own when the client or the pod has gone.
func TestSpliceEnds(t *testing.T) {
	t.Parallel()
	endless := func(to net.Conn) {
		for _, err := to.Write(make([]byte, 1<<20)); err == nil; {
			_, err = to.Write(make([]byte, 1<<20))
		}
	}
	for name, test := range map[string]struct {
		end  func(client, pod *net.TCPConn)
		want error
	}{
		"client leaves":     {func(client, _ *net.TCPConn) { _ = client.SetLinger(0); _ = client.Close() }, syscall.ECONNRESET},
		"connection closed": {func(_, pod *net.TCPConn) { _ = pod.Close() }, net.ErrClosed},
	} {
		client, conn := tcpPair(t)
		pod, inside := tcpPair(t)
		wire := server.WireOf(conn)
		go endless(inside)
		go func() { _, _ = io.Copy(io.Discard, client) }() // or it would be waited for
		ended := make(chan error, 1)
		first := make(chan struct{}, 1)
		go func() {
			ended <- wire.Splice(1, pod, func(int) {
				select {
				case first <- struct{}{}:
				default:
				}
			})
		}()
		<-first
		test.end(client, pod)
		if err := within(t, "end", ended); !errors.Is(err, test.want) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: %v", name, err)
		}
		_, _ = pod.Close(), inside.Close()
	}
	if err := server.WireOf(nil).Splice(1, nil, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a socket: %v", err)
	}
}

// TestSpliceLeavesNothing: of many connections no pipe is left.
func TestSpliceLeavesNothing(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		pipes := 0
		for _, entry := range entries {
			if to, _ := os.Readlink("/proc/self/fd/" + entry.Name()); len(to) > 5 && to[:5] == "pipe:" {
				pipes++
			}
		}
		return pipes
	}
	before := open()
	f := serveWith(t, config, new(commands), forward.Forwarder{})
	port := serveTCP(t, func(conn net.Conn) error {
		_, err := conn.Write(make([]byte, 1<<20))
		return err
	})
	for _, url := range []string{f.forwardURL(t), f.forwardURL(t)} {
		conn := dialSPDY(t, url, "portforward.k8s.io")
		for i := range 5 {
			data, _ := openPort(t, conn, port, fmt.Sprint(i))
			_ = data.Close()
			if got, err := io.ReadAll(data); len(got) != 1<<20 || err != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		}
	}
	if after := open(); after > before {
		t.Errorf("%d pipes were open, and %d are", before, after)
	}
}
