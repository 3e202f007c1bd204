// Package shimiotest plays a shim that serves containerd's streaming API, for
// tests of what talks to one.
package shimiotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	streamingapi "github.com/containerd/containerd/api/services/streaming/v1"
	"github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Shim serves streams by their ids. What was not sent yet is kept while nobody
// is connected.
type Shim struct {
	// Address is what a sandbox's status has.
	Address string

	path     string
	protocol string
	serving  sync.WaitGroup
	mu       sync.Mutex
	stop     func()
	conns    []*net.UnixConn
	open     sync.WaitGroup // connections
	stopped  bool
	streams  map[string]*Stream
	refusal  error
}

// Stream is one stream's side in the shim.
type Stream struct {
	turn    chan struct{}
	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each change
	out     []byte        // not sent yet
	in      []byte        // received
	ended   bool          // nothing follows out, or in
	opened  int           // how often it was connected
	ignores bool
}

// New serves with a protocol, ttrpc or grpc, on a unix socket until t ends.
func New(t *testing.T, protocol string) *Shim {
	t.Helper()
	dir, err := os.MkdirTemp("", "shim") //nolint:usetesting // that of t has the test's name, which may not be right in an address
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Shim{path: filepath.Join(dir, "s"), protocol: protocol, streams: map[string]*Stream{}}
	s.Address = protocol + "+unix://" + s.path
	s.Start(t)
	t.Cleanup(s.Stop)
	return s
}

// Start serves again after Stop.
func (s *Shim) Start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.stopped = false
	s.mu.Unlock()
	tracked := &listening{listener, s}
	if s.protocol == "grpc" {
		server := grpc.NewServer()
		streamingapi.RegisterStreamingServer(server, grpcService{shim: s})
		s.serving.Go(func() { _ = server.Serve(tracked) })
		s.stop = server.Stop
		return
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	streamingapi.RegisterTTRPCStreamingService(server, ttrpcService{s})
	s.serving.Go(func() { _ = server.Serve(context.Background(), tracked) })
	s.stop = func() { _ = server.Close() }
}

// Stop ends all connections and takes no more.
func (s *Shim) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.Break()
	// A ttrpc server that is closed before it has seen the end of a connection
	// waits for streams that do not see it either.
	s.open.Wait()
	s.stop()
	s.serving.Wait()
}

// Break ends all connections.
func (s *Shim) Break() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for _, conn := range conns {
		_ = conn.CloseWrite() // both sides see the end
		_ = conn.CloseRead()
	}
}

// Refuse lets new streams fail with err; nil for no more.
func (s *Shim) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
}

// Of is the stream with an id.
func (s *Shim) Of(id string) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[id] == nil {
		s.streams[id] = &Stream{changed: make(chan struct{}), turn: make(chan struct{}, 1)}
	}
	return s.streams[id]
}

// Write has the container write to an output stream.
func (s *Stream) Write(data string) { s.change(func() { s.out = append(s.out, data...) }) }

// End ends the stream.
func (s *Stream) End() { s.change(func() { s.ended = true }) }

// IgnoreWindow has the shim send whatever it has, as some do.
func (s *Stream) IgnoreWindow() { s.change(func() { s.ignores = true }) }

// Unsent is the number of bytes that wait.
func (s *Stream) Unsent() (n int) {
	s.change(func() { n = len(s.out) })
	return n
}

// AwaitOpened waits until it was connected n times.
func (s *Stream) AwaitOpened(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		opened, changed := s.opened, s.changed
		s.mu.Unlock()
		if opened >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("connected %d times: %w", opened, ctx.Err())
		}
	}
}

// Await waits until the input so far satisfies ok.
func (s *Stream) Await(ctx context.Context, ok func(input string, ended bool) bool) error {
	for {
		s.mu.Lock()
		input, ended, changed := string(s.in), s.ended, s.changed
		s.mu.Unlock()
		if ok(input, ended) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("input is %q, ended %v: %w", input, ended, ctx.Err())
		}
	}
}

func (s *Stream) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
	close(s.changed)
	s.changed = make(chan struct{})
}

// listening keeps the connections, to break them.
type listening struct {
	net.Listener
	shim *Shim
}

func (l *listening) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.shim.mu.Lock()
	defer l.shim.mu.Unlock()
	if l.shim.stopped { // the server would serve it all the same
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l.shim.conns = append(l.shim.conns, conn.(*net.UnixConn))
	l.shim.open.Add(1)
	return &counted{Conn: conn, closed: sync.OnceFunc(l.shim.open.Done)}, nil
}

// counted is a connection whose end is waited for.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

type ttrpcService struct{ shim *Shim }

func (t ttrpcService) Stream(ctx context.Context, server streamingapi.TTRPCStreaming_StreamServer) error {
	return t.shim.serve(ctx, server)
}

type grpcService struct {
	streamingapi.UnimplementedStreamingServer
	shim *Shim
}

func (g grpcService) Stream(server streamingapi.Streaming_StreamServer) error {
	return g.shim.serve(server.Context(), server)
}

// peer is the other side of one connection.
type peer interface {
	Send(*anypb.Any) error
	Recv() (*anypb.Any, error)
}

func (s *Shim) serve(ctx context.Context, to peer) error {
	first, err := to.Recv()
	if err != nil {
		return err
	}
	var init streamingapi.StreamInit
	if err := typeurl.UnmarshalTo(first, &init); err != nil {
		return err
	}
	s.mu.Lock()
	refusal := s.refusal
	s.mu.Unlock()
	if refusal != nil {
		return errgrpc.ToGRPC(refusal)
	}
	stream := s.Of(init.GetID())
	select { // one connection at a time, or what is sent to a dead one would be lost
	case stream.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-stream.turn }()
	stream.change(func() { stream.opened++ })
	if err := send(to, &emptypb.Empty{}); err != nil {
		return err
	}
	if strings.HasSuffix(init.GetID(), "-stdin") {
		return stream.take(to)
	}
	return stream.give(ctx, to, &s.serving)
}

// take receives input until its end.
func (s *Stream) take(to peer) error {
	for {
		if err := send(to, &transfer.WindowUpdate{Update: 1 << 10}); err != nil {
			return err
		}
		message, err := to.Recv()
		if errors.Is(err, io.EOF) {
			s.End()
			return nil
		}
		if err != nil {
			return err
		}
		var data transfer.Data
		if err := typeurl.UnmarshalTo(message, &data); err != nil {
			return err
		}
		s.change(func() { s.in = append(s.in, data.GetData()...) })
	}
}

// give sends output until its end.
func (s *Stream) give(ctx context.Context, to peer, serving *sync.WaitGroup) error {
	window, broken := 0, false
	serving.Go(func() { // until the connection ends
		for {
			message, err := to.Recv()
			if err != nil {
				s.change(func() { broken = true })
				return
			}
			var update transfer.WindowUpdate
			if typeurl.UnmarshalTo(message, &update) == nil {
				s.change(func() { window += int(update.GetUpdate()) })
			}
		}
	})
	for {
		s.mu.Lock()
		n := min(len(s.out), window)
		if s.ignores {
			n = len(s.out)
		}
		n = min(n, 32<<10)
		chunk := slices.Clone(s.out[:n])
		over, gone, changed := s.ended && len(s.out) == 0, broken, s.changed
		s.mu.Unlock()
		switch {
		case over:
			return nil
		case gone || ctx.Err() != nil:
			return fmt.Errorf("connection is gone: %w", errdefs.ErrAborted)
		case n > 0:
			if err := send(to, &transfer.Data{Data: chunk}); err != nil {
				return err
			}
			s.change(func() { s.out, window = s.out[n:], window-n })
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func send(to peer, message any) error {
	encoded, err := typeurl.MarshalAny(message)
	if err != nil {
		return err
	}
	return to.Send(typeurl.MarshalProto(encoded))
}

// Output lets a process write to the stream, and end it.
func (s *Stream) Output() io.WriteCloser { return output{s} }

type output struct{ to *Stream }

func (o output) Write(data []byte) (int, error) {
	o.to.Write(string(data))
	return len(data), nil
}

func (o output) Close() error {
	o.to.End()
	return nil
}

// CopyInput gives a process what is received, until the end, or that of ctx.
func (s *Stream) CopyInput(ctx context.Context, to io.Writer) error {
	seen := 0
	for {
		err := s.Await(ctx, func(input string, ended bool) bool { return len(input) > seen || ended })
		if err != nil {
			return err
		}
		s.mu.Lock()
		fresh, ended := slices.Clone(s.in[seen:]), s.ended
		s.mu.Unlock()
		seen += len(fresh)
		if _, err := to.Write(fresh); err != nil || ended && len(fresh) == 0 {
			return err
		}
	}
}
