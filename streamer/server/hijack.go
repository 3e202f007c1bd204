package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bufferSize of a connection, in bytes.
	bufferSize = 64 << 10
	// watchInterval is between two looks whether a client is still there.
	watchInterval = time.Second
	// goodbye is how long a session that was cut off may take to tell its
	// client why.
	goodbye = time.Second
	// slowGoodbye is the same for a client that was too slow: what is on its way
	// to it comes first.
	slowGoodbye = 10 * time.Second
)

// hijacker lets the library take over the connection, and keeps hold of it.
type hijacker struct {
	http.ResponseWriter
	lost func(cause error) // called when the client has gone, or was idle
	idle time.Duration     // after which it was; 0 for never
	last atomic.Int64      // when something moved, in nanoseconds

	mu      sync.Mutex
	conn    *watched
	closing *time.Timer
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	inner, ok := h.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, fmt.Errorf("connection cannot be taken over: %w", http.ErrNotSupported)
	}
	conn, buffered, err := inner.Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over connection: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.active()
	w := &watched{Conn: conn, lost: func() { h.lost(errGone) }, cancel: cancel}
	if n := buffered.Reader.Buffered(); n > 0 {
		early, _ := buffered.Reader.Peek(n) // cannot fail: it is there
		w.early = append(w.early, early...)
	}
	w.watching.Go(func() { h.watch(ctx, conn) })
	h.mu.Lock()
	h.conn = w
	h.mu.Unlock()
	return w, bufio.NewReadWriter(bufio.NewReaderSize(w, bufferSize), bufio.NewWriterSize(w, bufferSize)), nil
}

// active notes that the session is in use.
func (h *hijacker) active() { h.last.Store(time.Now().UnixNano()) }

// closeWrite tells the client that no more comes.
func (h *hijacker) closeWrite() error {
	h.mu.Lock()
	w := h.conn
	h.mu.Unlock()
	if w == nil {
		return nil
	}
	var err error
	if t, ok := w.Conn.(*tls.Conn); ok {
		err = t.CloseWrite()
	}
	if tcp, ok := bare(w.Conn).(*net.TCPConn); ok {
		err = errors.Join(err, tcp.CloseWrite())
	}
	return err
}

// closeSoon closes the connection after a moment for the last words.
func (h *hijacker) closeSoon() { h.closeWithin(goodbye) }

// closeWithin closes the connection after a time; the first call counts.
func (h *hijacker) closeWithin(limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil && h.closing == nil {
		conn := h.conn
		h.closing = time.AfterFunc(limit, func() { _ = conn.Close() })
	}
}

// close closes the connection, if it was taken over, and ends the watch.
func (h *hijacker) close() {
	h.mu.Lock()
	conn, closing := h.conn, h.closing
	h.mu.Unlock()
	if closing != nil {
		closing.Stop()
	}
	if conn != nil {
		_ = conn.Close()
		conn.watching.Wait()
	}
}

// watched is a connection that tells when the client has gone.
type watched struct {
	net.Conn
	early    []byte // had been read before the connection was taken over
	lost     func()
	cancel   context.CancelFunc
	watching sync.WaitGroup
	once     sync.Once
	err      error // of the first Close
}

// Read reads; only one goroutine may.
func (w *watched) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	n, err := w.Conn.Read(p)
	if err != nil {
		w.lost()
	}
	return n, err
}

// Close closes the connection and with it the session. A second call is no
// error: the library, which closes late, would wait for somebody to handle it.
func (w *watched) Close() error {
	w.once.Do(func() {
		w.cancel()
		w.lost()
		w.err = w.Conn.Close()
	})
	return w.err
}

// watch looks now and then whether the client has closed its side, or has
// been idle. Reading does not tell when the reader waits: for a command that
// takes no input.
func (h *hijacker) watch(ctx context.Context, conn net.Conn) {
	interval := watchInterval
	if h.idle > 0 {
		interval = min(interval, h.idle)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if hungUp(conn) {
				h.lost(errGone)
				return
			}
			if h.idle > 0 && now.UnixNano()-h.last.Load() >= int64(h.idle) {
				h.lost(fmt.Errorf("%w for %v", errIdle, h.idle))
				return
			}
		}
	}
}

// hungUp tells whether the peer of a TCP connection has closed it, also when
// there are bytes before that which nobody has read.
func hungUp(conn net.Conn) bool {
	tcp, ok := bare(conn).(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(poll, 0); err == nil && n > 0 {
			gone = poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		}
	})
	return gone || err != nil
}
