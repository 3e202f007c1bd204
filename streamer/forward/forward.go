// Package forward connects clients to ports in a pod.
//
//	client ── stream ── copy ── socket ─┤pod's network namespace├─ server
//
// Only the making of the socket happens inside the pod's network namespace;
// connecting and copying happen outside, on ordinary goroutines. Each
// direction ends on its own. A connection that fails affects no other.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/netns"
	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/eager"
)

// Forwarder opens connections to ports of pods. It is safe for concurrent use.
type Forwarder struct{}

// Check finds what can be wrong with a request before a client comes.
// Errors: ErrInvalidArgument, ErrNotFound (no such network namespace).
func (Forwarder) Check(r *streamerv1.PreparePortForwardRequest) error {
	for _, port := range r.GetPorts() {
		if port < 1 || port > 65535 {
			return fmt.Errorf("ports: %d is not a port: %w", port, errdefs.ErrInvalidArgument)
		}
	}
	if r.GetNetnsPath() == "" {
		return nil
	}
	namespace, err := netns.Open(r.GetNetnsPath())
	if err != nil {
		return fmt.Errorf("netns_path: %w", err)
	}
	return namespace.Close()
}

// Dial connects to a port on the loopback of the network namespace at path,
// IPv4 or IPv6; an empty path is the host's.
func (Forwarder) Dial(ctx context.Context, path string, port int32) (*net.TCPConn, error) {
	fds, err := sockets(path)
	if err != nil {
		return nil, err
	}
	return connectAny(ctx, fds, uint16(port))
}

// Stream is a client's end of one connection.
type Stream struct {
	io.ReadWriteCloser
	// HalfClose is true if Close ends only the direction to the client.
	HalfClose bool
	// Abort makes a Read of the stream return.
	Abort func()
	// Splice, if there is one, writes to the stream what comes from the pod
	// until its end, without copying it. It costs more than Write of little.
	// Error: errors.ErrUnsupported if nothing was moved, for it cannot be.
	Splice func(pod *net.TCPConn) error
}

// Forward copies between a client and a port until both directions have
// ended, one has failed, or ctx ends.
func (f Forwarder) Forward(ctx context.Context, r *streamerv1.PreparePortForwardRequest, port int32, client Stream) error {
	if port < 1 || port > 65535 {
		return fmt.Errorf("%d is not a port: %w", port, errdefs.ErrInvalidArgument)
	}
	if len(r.GetPorts()) > 0 && !slices.Contains(r.GetPorts(), port) {
		return fmt.Errorf("port %d is not among those that were asked for: %w", port, errdefs.ErrPermissionDenied)
	}
	var conn *net.TCPConn
	err := telemetry.Span(ctx, "dial in pod", func(ctx context.Context) (err error) {
		conn, err = f.Dial(ctx, r.GetNetnsPath(), port)
		return err
	})
	if err != nil {
		return fmt.Errorf("open port %d of pod %q: %w", port, r.GetPodId(), err)
	}
	return pipe(ctx, conn, client)
}

// pipe copies both ways. It owns conn.
func pipe(ctx context.Context, conn *net.TCPConn, client Stream) error {
	var once sync.Once
	var cause error
	end := func(err error) {
		once.Do(func() {
			cause = err
			_ = conn.Close()
			client.Abort()
		})
	}
	stop := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	var copies sync.WaitGroup
	copies.Go(func() { // client to pod
		if err := copyIn(conn, client.ReadWriteCloser); err != nil {
			end(fmt.Errorf("copy to pod: %w", err))
			return
		}
		_ = conn.CloseWrite()
	})
	copies.Go(func() { // pod to client
		if err := copyOut(client, conn); err != nil {
			end(fmt.Errorf("copy from pod: %w", err))
			return
		}
		if !client.HalfClose {
			end(nil) // the client cannot be told otherwise that all has come
			return
		}
		_ = client.Close()
	})
	copies.Wait()
	stop()
	once.Do(func() { _ = conn.Close() })
	if errors.Is(cause, net.ErrClosed) {
		return nil
	}
	return cause
}

// chunk is the size of a copy, and so of a frame to the client, in bytes.
const chunk = 128 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// copyIn has the client's end write what it has, if it can.
func copyIn(to io.Writer, from io.Reader) error {
	if pushing, ok := from.(io.WriterTo); ok {
		_, err := pushing.WriteTo(eager.New(to))
		return err
	}
	return copyTo(to, from)
}

// copyOut copies what comes from the pod; once it is much, without copying.
func copyOut(client Stream, conn *net.TCPConn) error {
	if client.Splice == nil {
		return copyTo(client, conn)
	}
	much := &bulk{Reader: conn}
	if err := copyTo(client, much); err != nil || much.ended {
		return err
	}
	if err := client.Splice(conn); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return copyTo(client, conn)
}

// bulk reads until a read has found more than it could take.
type bulk struct {
	io.Reader
	full, ended bool
}

func (b *bulk) Read(p []byte) (int, error) {
	if b.full {
		return 0, io.EOF
	}
	n, err := b.Reader.Read(p)
	b.full, b.ended = n == len(p), err != nil
	return n, err
}

func copyTo(to io.Writer, from io.Reader) error {
	buffer, _ := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buffer)
	// Hiding other methods keeps the copy to this buffer.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buffer[:])
	return err
}
