// Package endpoint holds the listeners that clients connect to: the CRI
// socket and the streaming server's TCP port.
//
// They belong to the launcher and outlive every generation, so a connection
// made while members restart waits in the kernel's backlog. The launcher
// itself never accepts.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/launcher/process"
)

// The names of the listeners, for the members and for socket units
// (FileDescriptorName=).
const (
	CRI    = "cri"
	Stream = "stream"
)

// bindPoll is the pause between attempts to bind what a dying process holds.
const bindPoll = 20 * time.Millisecond

// Endpoints are the open listeners. Close releases them.
type Endpoints struct {
	cri, stream         *os.File
	criAddr, streamAddr string
	remove              string // the socket file that was made here
}

// Open takes the listeners that systemd passed and binds the others. The
// members of a launcher that was killed may still hold them: that is waited
// for until ctx ends.
func Open(ctx context.Context, cfg *config.Config, inherited listen.Inherited) (*Endpoints, error) {
	e := &Endpoints{}
	made := len(inherited[CRI]) == 0
	cri, err := inherited.Unix(CRI, cfg.CRISocket())
	if err != nil {
		return nil, err
	}
	if made {
		e.remove = cfg.CRISocket()
	}
	e.criAddr = cri.Addr().String()
	if made {
		e.criAddr = cfg.CRISocket() // the address still has the name it was bound under
	}
	if e.cri, err = file[*net.UnixListener](CRI, cri); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	stream, err := bindTCP(ctx, inherited, net.JoinHostPort(cfg.Streamer.Address, strconv.Itoa(cfg.Streamer.Port)))
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.streamAddr = stream.Addr().String()
	if e.stream, err = file[*net.TCPListener](Stream, stream); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// file turns a listener of the kind L into a descriptor to pass on.
func file[L interface{ File() (*os.File, error) }](name string, listener net.Listener) (*os.File, error) {
	defer func() { _ = listener.Close() }() // the descriptor stays open
	l, ok := listener.(L)
	if !ok {
		return nil, fmt.Errorf("inherited listener %q is on %s %s", name, listener.Addr().Network(), listener.Addr())
	}
	f, err := l.File()
	if err != nil {
		return nil, fmt.Errorf("descriptor of listener %q: %w", name, err)
	}
	return f, nil
}

func bindTCP(ctx context.Context, inherited listen.Inherited, address string) (net.Listener, error) {
	for {
		l, err := inherited.TCP(Stream, address)
		if !errors.Is(err, unix.EADDRINUSE) {
			return l, err
		}
		if pause(ctx) != nil {
			return nil, err
		}
	}
}

// AwaitUnserved waits until nobody answers on any of the sockets, that is,
// until the members of a launcher that was killed have ended as well. It
// fails when ctx ends first.
func AwaitUnserved(ctx context.Context, sockets ...string) error {
	for _, path := range sockets {
		for served(path) {
			if pause(ctx) != nil {
				return fmt.Errorf("%s is served by another process", path)
			}
		}
	}
	return nil
}

// served looks without waiting: the kernel answers for the listener.
func served(path string) bool {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return errors.Is(err, unix.EAGAIN) // a full backlog is somebody's
	}
	_ = conn.Close()
	return true
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(bindPoll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CRI is the CRI listener, to be passed to the runtime.
func (e *Endpoints) CRI() process.File { return process.File{Name: CRI, File: e.cri} }

// Stream is the streaming server's listener, to be passed to the streamer.
func (e *Endpoints) Stream() process.File { return process.File{Name: Stream, File: e.stream} }

// CRIAddress is the path of the CRI socket.
func (e *Endpoints) CRIAddress() string { return e.criAddr }

// StreamAddress is the address of the streaming server, with its port.
func (e *Endpoints) StreamAddress() string { return e.streamAddr }

// Close closes the listeners and removes the socket file, if it was made here.
func (e *Endpoints) Close() error {
	var failed []error
	for _, f := range []*os.File{e.cri, e.stream} {
		if f != nil {
			failed = append(failed, f.Close())
		}
	}
	if e.remove != "" {
		if err := os.Remove(e.remove); !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
