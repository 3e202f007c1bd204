package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/streamer/session"
)

var (
	// errGone is the cause of a session's end when its client has left.
	errGone = session.ErrGone
	// errIdle is the cause when nothing has moved.
	errIdle = session.ErrIdle
)

// client is a session's other side.
type client struct {
	ctx      context.Context // the session's life, for callbacks to which the library gives none
	response *hijacker
	request  *http.Request
	session  *session.Session
	// work counts what the library starts and does not wait for.
	work sync.WaitGroup

	mu    sync.Mutex
	err   error // the session's first
	ended bool  // no more work begins
}

// begin counts a piece of work, for which c.work.Done must be called.
func (c *client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.work.Add(1)
	return true
}

// background runs fn until the connection's end makes it return.
func (c *client) background(fn func()) {
	if c.begin() {
		go func() { // finish waits for it
			defer c.work.Done()
			fn()
		}()
	}
}

// finish waits until all work has ended.
func (c *client) finish() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.work.Wait()
}

// active notes that the session is in use.
func (c *client) active() { c.response.active() }

// note keeps the first error of the session.
func (c *client) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// refuse answers a request that cannot become a session.
func (c *client) refuse(err error) {
	c.note(err)
	http.Error(c.response, err.Error(), http.StatusBadRequest)
}

func (c *client) outcome() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// open begins a session, serves it and sees to its end: the connection is
// closed, and nothing that works for the session is left.
func (s *Server) open(w http.ResponseWriter, r *http.Request, ticket session.Ticket, about session.Info, serve func(*client)) {
	about.Kind, about.Client, about.Protocol = ticket.Kind, r.RemoteAddr, protocol(r)
	ctx := trace.ContextWithRemoteSpanContext(r.Context(), ticket.Parent)
	ctx, opened, err := s.sessions.Begin(ctx, about)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	var outcome error
	defer func() { opened.End(outcome) }()
	log := s.log.With("kind", string(about.Kind), "protocol", about.Protocol).With(session.Fields(about.Subject)...)
	left := false
	err = telemetry.Span(ctx, string(about.Kind)+" session", func(ctx context.Context) error {
		defer func() { describe(ctx, opened.Info()) }()
		log.InfoContext(ctx, "session opened", "client", about.Client)
		hijack := &hijacker{ResponseWriter: w, lost: opened.Cancel, idle: s.config.IdleTimeout}
		c := &client{ctx: ctx, response: hijack, request: r.WithContext(ctx), session: opened}
		// A canceled session's reads and writes end when its connection does.
		stop := context.AfterFunc(ctx, hijack.closeSoon)
		serve(c)
		stop()
		opened.Cancel(nil)
		// A close while the client still sends would take away what is on
		// its way to it, as the exit code: it gets a moment to close first.
		_ = hijack.closeWrite()
		hijack.closeSoon()
		c.finish()
		hijack.close()
		outcome = c.outcome()
		if left = errors.Is(outcome, errGone); left {
			return nil // as sessions end every day
		}
		return outcome
	})
	info := opened.Info()
	log = log.With("seconds", time.Since(info.Started).Seconds(), "bytes_in", info.In, "bytes_out", info.Out)
	if err != nil {
		log.WarnContext(ctx, "session ended with an error", "error", err)
		return
	}
	log.InfoContext(ctx, "session ended", "client_left", left)
}

// describe puts what is known at its end on a session's span.
func describe(ctx context.Context, info session.Info) {
	session.Mark(ctx, info.Subject)
	trace.SpanFromContext(ctx).SetAttributes(
		attribute.String("trivet.session.kind", string(info.Kind)),
		attribute.String("trivet.session.protocol", info.Protocol),
		attribute.String("trivet.session.subprotocol", info.Subprotocol),
		attribute.String("trivet.session.client", info.Client),
		attribute.String("trivet.session.command", info.Command),
		attribute.Int64("trivet.session.bytes_in", info.In),
		attribute.Int64("trivet.session.bytes_out", info.Out),
		attribute.Int64("trivet.session.connections", info.Connections),
	)
}
