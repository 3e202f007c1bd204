package shimio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/containerd/v2/core/streaming"
	"github.com/containerd/containerd/v2/core/streaming/proxy"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// connectLimit bounds connecting one stream.
	connectLimit = 10 * time.Second
	// window is what a sender may have under way, in bytes. It is also what
	// may be lost with a connection.
	window = 64 << 10
	// chunkSize is the most that one message has, in bytes.
	chunkSize = 32 << 10
)

// stream is one stream of a shim, with a connection of its own.
type stream struct {
	streaming.Stream
	cancel  context.CancelFunc
	release func() // of the connection
}

// connect opens the stream id. It lives until ctx ends or close is called.
func (e Endpoint) connect(ctx context.Context, id string) (_ *stream, err error) {
	dialing, stop := context.WithTimeout(ctx, connectLimit)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{cancel: cancel, release: func() {}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	conn, err := e.dial(dialing)
	if err != nil {
		return nil, err
	}
	creator, err := s.client(e, conn)
	if err != nil {
		return nil, err
	}
	// The stream lives as long as its context, so that cannot have the limit.
	late := context.AfterFunc(dialing, cancel)
	defer late()
	if s.Stream, err = creator.Create(ctx, id); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the shim has closed it: %w", errdefs.ErrNotFound)
		}
		return nil, fmt.Errorf("open stream %s at %s: %w", id, e, err)
	}
	return s, nil
}

// client makes the protocol's client on conn, which belongs to s then.
func (s *stream) client(e Endpoint, conn net.Conn) (streaming.StreamCreator, error) {
	if e.protocol == "ttrpc" {
		client := ttrpc.NewClient(conn)
		s.release = func() {
			_ = client.Close()                               // nothing is buffered
			_ = client.UserOnCloseWait(context.Background()) // for its goroutine, which nothing blocks
		}
		return proxy.NewStreamCreator(client), nil
	}
	given := make(chan net.Conn, 1)
	given <- conn
	client, err := grpc.NewClient("passthrough:///shim", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case conn := <-given:
				return conn, nil
			default: // it would be another stream after that
				return nil, net.ErrClosed
			}
		}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("speak grpc to %s: %w", e, err), conn.Close())
	}
	s.release = func() {
		_ = client.Close() // nothing is buffered
		select {
		case conn := <-given:
			_ = conn.Close() // never used
		default:
		}
	}
	return proxy.NewStreamCreator(client), nil
}

// close breaks the connection: without a CloseSend before, the shim waits for
// the next one.
func (s *stream) close() {
	s.cancel()
	s.release()
}

// errUsedUp means that the sender may send nothing more.
var errUsedUp = errors.New("the window is used up")

// receive passes what comes on to write. more tells, by what the sender may
// send, whether that may send as much more. It returns io.EOF after the
// stream's end.
func (s *stream) receive(more func(open int) (bool, error), write func([]byte) error) error {
	open := 0
	var unsent error
	for {
		grant, err := more(open)
		if err != nil {
			return err
		}
		if grant && unsent == nil {
			// A stream that has ended says so only when it is read.
			unsent = s.send(&transfer.WindowUpdate{Update: window})
			open += window
		}
		message, err := s.Recv()
		if err != nil {
			return err
		}
		if message.GetTypeUrl() == "" {
			continue // the end of a ttrpc stream, which the next call tells
		}
		var data transfer.Data
		if err := typeurl.UnmarshalTo(message, &data); err != nil {
			return fmt.Errorf("read a message of the stream: %w", err)
		}
		if err := write(data.GetData()); err != nil {
			return err
		}
		open -= len(data.GetData())
	}
}

// updates gives grant the bytes that the receiver is ready for, until the
// stream's end, which is io.EOF.
func (s *stream) updates(grant func(int)) error {
	for {
		message, err := s.Recv()
		if err != nil {
			return err
		}
		if message.GetTypeUrl() == "" {
			continue
		}
		var update transfer.WindowUpdate
		if err := typeurl.UnmarshalTo(message, &update); err != nil {
			return fmt.Errorf("read a message of the stream: %w", err)
		}
		grant(int(update.GetUpdate()))
	}
}

func (s *stream) data(chunk []byte) error { return s.send(&transfer.Data{Data: chunk}) }

func (s *stream) send(message any) error {
	encoded, err := typeurl.MarshalAny(message)
	if err != nil {
		return fmt.Errorf("encode a message of the stream: %w", err)
	}
	return s.Send(encoded)
}
