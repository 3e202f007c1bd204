package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/trivet-cri/trivet/internal/netns"
	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// podServer listens in a pod's network namespace but runs here: it says
// nothing about how fast a container's programs are. A connection begins with
// the number of bytes that the server sends, which it then does, reading
// until the client's end; the last byte says that all has come.
type podServer struct {
	listener net.Listener
	serving  sync.WaitGroup
}

// serveIn starts a server in a container's network namespace.
func serveIn(ctx context.Context, container *harness.Container) (*podServer, error) {
	pid, err := container.PID(ctx)
	if err != nil {
		return nil, err
	}
	namespace, err := netns.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer func() { _ = namespace.Close() }()
	s := &podServer{}
	err = netns.Inside(namespace, func() (err error) {
		s.listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", forwardPort))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in pod: %w", err)
	}
	s.serving.Go(s.accept)
	return s, nil
}

func (s *podServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.serving.Go(func() {
			defer func() { _ = conn.Close() }()
			_ = answer(conn)
		})
	}
}

// close ends the server; its connections end with their clients.
func (s *podServer) close() error {
	err := s.listener.Close()
	s.serving.Wait()
	return err
}

// answer sends what the client asks for and reads what it sends.
func answer(conn net.Conn) error {
	var size [8]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	buffer := make([]byte, 256<<10)
	for left := int64(binary.BigEndian.Uint64(size[:])); left > 0; left -= int64(len(buffer)) {
		if _, err := conn.Write(buffer[:min(left, int64(len(buffer)))]); err != nil {
			return err
		}
	}
	// Hiding other methods keeps the copy to this buffer.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, buffer); err != nil {
		return err
	}
	_, err := conn.Write(buffer[:1])
	return err
}

// ask opens a connection and asks for n bytes.
func ask(forward stream.Forward, n int64) (stream.Conn, error) {
	conn, err := forward.Dial(forwardPort)
	if err != nil {
		return nil, err
	}
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(n))
	if _, err := conn.Write(size[:]); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// connect measures how long a connection takes until its first byte.
func connect(forward stream.Forward, into *samples) error {
	begun := time.Now()
	conn, err := ask(forward, 1)
	if err != nil {
		return err
	}
	var first [1]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return errors.Join(fmt.Errorf("first byte: %w", err), conn.Close())
	}
	into.add("forwarded connection", time.Since(begun))
	_, err = io.Copy(io.Discard, endOf(conn))
	return errors.Join(err, conn.Close())
}

// endOf half-closes a connection and is what then still comes.
func endOf(conn stream.Conn) io.Reader {
	_ = conn.CloseWrite() // what is wrong shows when it is read
	return conn
}

// forwardVolume moves zeros through one connection.
func forwardVolume(forward stream.Forward, upload bool, mib int) error {
	total := int64(mib) << 20
	down := total
	if upload {
		down = 0
	}
	conn, err := ask(forward, down)
	if err != nil {
		return err
	}
	buffer := make([]byte, 64<<10)
	if upload {
		_, err = io.CopyBuffer(struct{ io.Writer }{conn}, io.LimitReader(zeros{}, total), buffer)
	}
	counted := &counter{}
	if err == nil {
		_, err = io.CopyBuffer(counted, struct{ io.Reader }{endOf(conn)}, buffer)
	}
	if err == nil && counted.n != down+1 {
		err = fmt.Errorf("%d bytes arrived, not %d", counted.n, down+1)
	}
	return errors.Join(err, conn.Close())
}
