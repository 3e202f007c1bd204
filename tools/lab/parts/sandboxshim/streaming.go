package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	streamingapi "github.com/containerd/containerd/api/services/streaming/v1"
	"github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"
)

// streams serves by containerd's streaming API what runc's shim has in FIFOs.
// A stream outlives its connections: what was not sent is for the next one.
type streams struct {
	dir string
	mu  sync.Mutex
	of  map[string]*channel
}

// channel is one stream and its FIFO.
type channel struct {
	path    string
	turn    chan struct{} // has a token while there is a connection
	fifo    *os.File
	keeper  *os.File // a writer of an output, until the shim has opened it
	pending []byte   // read from the one side and not yet given to the other
	ended   bool
}

func newStreams() (*streams, error) {
	dir, err := os.MkdirTemp("", "sandboxshim")
	return &streams{dir: dir, of: make(map[string]*channel)}, err
}

// RegisterTTRPC is part of shim.TTRPCService.
func (s *streams) RegisterTTRPC(server *ttrpc.Server) error {
	streamingapi.RegisterTTRPCStreamingService(server, s)
	return nil
}

func (s *streams) get(id string) (*channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.of[id]; c != nil {
		return c, nil
	}
	if id != filepath.Base(id) {
		return nil, errdefs.ErrInvalidArgument
	}
	c := &channel{path: filepath.Join(s.dir, id), turn: make(chan struct{}, 1)}
	err := unix.Mkfifo(c.path, 0o600)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(id, "-stdin") {
		c.fifo, err = os.OpenFile(c.path, os.O_RDWR|unix.O_NONBLOCK, 0)
	} else if c.fifo, err = os.OpenFile(c.path, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
		c.keeper, err = os.OpenFile(c.path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	}
	s.of[id] = c
	return c, err
}

// path is the FIFO of a stream's URL; what is no URL stays.
func (s *streams) path(url string) (string, error) {
	_, id, ok := strings.Cut(url, "?streaming_id=")
	if !ok {
		return url, nil
	}
	c, err := s.get(id)
	if err != nil {
		return "", err
	}
	return c.path, nil
}

// opened is called when the shim has its ends of a process's FIFOs.
func (s *streams) opened(process string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"-stdout", "-stderr"} {
		if c := s.of[process+name]; c != nil && c.keeper != nil {
			_ = c.keeper.Close()
			c.keeper = nil
		}
	}
}

// Stream is the one call of the API.
func (s *streams) Stream(ctx context.Context, to streamingapi.TTRPCStreaming_StreamServer) error {
	first, err := to.Recv()
	if err != nil {
		return err
	}
	var init streamingapi.StreamInit
	if err := typeurl.UnmarshalTo(first, &init); err != nil {
		return err
	}
	c, err := s.get(init.ID)
	if err != nil {
		return errgrpc.ToGRPC(err)
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	if err := send(to, &emptypb.Empty{}); err != nil || c.ended {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.fifo.SetDeadline(time.Unix(1, 0)) })
	defer func() { stop(); _ = c.fifo.SetDeadline(time.Time{}) }()
	if strings.HasSuffix(init.ID, "-stdin") {
		err = c.take(to)
	} else {
		err = c.give(ctx, to)
	}
	if errors.Is(err, io.EOF) {
		c.ended = true
		return c.fifo.Close()
	}
	return err
}

// take receives into the FIFO.
func (c *channel) take(to streamingapi.TTRPCStreaming_StreamServer) error {
	const window = 32 << 10
	for open := 0; ; {
		if len(c.pending) > 0 {
			n, err := c.fifo.Write(c.pending)
			c.pending = c.pending[n:]
			if err != nil {
				return err
			}
		}
		if open < window {
			if err := send(to, &transfer.WindowUpdate{Update: window}); err != nil {
				return err
			}
			open += window
		}
		message, err := to.Recv()
		if err != nil {
			return err
		}
		var data transfer.Data
		if err := typeurl.UnmarshalTo(message, &data); err != nil {
			return err
		}
		open -= len(data.Data)
		c.pending = data.Data
	}
}

// give sends what is in the FIFO.
func (c *channel) give(ctx context.Context, to streamingapi.TTRPCStreaming_StreamServer) error {
	updates := make(chan int)
	go func() {
		for {
			message, err := to.Recv()
			if err != nil {
				return
			}
			var update transfer.WindowUpdate
			_ = typeurl.UnmarshalTo(message, &update)
			select {
			case updates <- int(update.Update):
			case <-ctx.Done():
				return
			}
		}
	}()
	buffer := make([]byte, 32<<10)
	for window := 0; ; {
		for window <= 0 {
			select {
			case n := <-updates:
				window += n
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if len(c.pending) == 0 {
			n, err := c.fifo.Read(buffer)
			if err != nil {
				return err
			}
			c.pending = buffer[:n]
		}
		n := min(window, len(c.pending))
		if err := send(to, &transfer.Data{Data: c.pending[:n]}); err != nil {
			return err
		}
		c.pending = c.pending[n:]
		window -= n
		select {
		case n := <-updates:
			window += n
		default:
		}
	}
}

func send(to streamingapi.TTRPCStreaming_StreamServer, message any) error {
	encoded, err := typeurl.MarshalAny(message)
	if err != nil {
		return err
	}
	return to.Send(typeurl.MarshalProto(encoded))
}
