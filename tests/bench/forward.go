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
// the numbers of bytes that the server is to read, and then to send.
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

// answer reads and sends as much as the client says.
func answer(conn net.Conn) error {
	var sizes [16]byte
	if _, err := io.ReadFull(conn, sizes[:]); err != nil {
		return err
	}
	up, down := int64(binary.BigEndian.Uint64(sizes[:8])), int64(binary.BigEndian.Uint64(sizes[8:]))
	buffer := make([]byte, 256<<10)
	// Hiding other methods keeps the copies to this buffer.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(conn, up), buffer); err != nil {
		return err
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{conn}, io.LimitReader(zeros{}, down), buffer)
	return err
}

// talk opens a connection, on which it sends and then expects so many bytes.
// The end is not waited for: the built-in plugin takes its time.
func talk(forward stream.Forward, up, down int64) (err error) {
	conn, err := forward.Dial(forwardPort)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var sizes [16]byte
	binary.BigEndian.PutUint64(sizes[:8], uint64(up))
	binary.BigEndian.PutUint64(sizes[8:], uint64(down))
	if _, err := conn.Write(sizes[:]); err != nil {
		return err
	}
	buffer := make([]byte, 64<<10)
	if _, err := io.CopyBuffer(struct{ io.Writer }{conn}, io.LimitReader(zeros{}, up), buffer); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(conn, down), buffer)
	if err == nil && n != down {
		err = fmt.Errorf("%d bytes arrived, not %d", n, down)
	}
	return err
}

// connect measures how long a connection takes until its first byte.
func connect(forward stream.Forward, into *samples) error {
	begun := time.Now()
	if err := talk(forward, 0, 1); err != nil {
		return err
	}
	into.add("forwarded connection", time.Since(begun))
	return nil
}

// forwardVolume moves zeros through one connection.
func forwardVolume(forward stream.Forward, upload bool, mib int) error {
	up, down := int64(0), int64(mib)<<20
	if upload {
		up, down = down, 1 // which says that all has come
	}
	return talk(forward, up, down)
}
