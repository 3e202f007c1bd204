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

// errGone is the cause of a session's end when its client has left.
var errGone = errors.New("the client has left")

// client is a session's other side.
type client struct {
	ctx      context.Context // the session's life, for callbacks to which the library gives none
	response http.ResponseWriter
	request  *http.Request
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
func (s *Server) open(w http.ResponseWriter, r *http.Request, ticket session.Ticket, who subject, serve func(*client)) {
	ctx := trace.ContextWithRemoteSpanContext(r.Context(), ticket.Parent)
	ctx, opened, err := s.sessions.Begin(ctx, ticket.Kind, who.target, protocol(r))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer opened.End()
	log := s.log.With("kind", string(ticket.Kind), "protocol", opened.Protocol).With(who.attrs...)
	left := false
	err = telemetry.Span(ctx, string(ticket.Kind)+" session", func(ctx context.Context) error {
		who.mark(ctx)
		log.InfoContext(ctx, "session opened", "client", r.RemoteAddr)
		hijack := &hijacker{ResponseWriter: w, lost: func() { opened.Cancel(errGone) }, spdy: opened.Protocol == "spdy"}
		c := &client{ctx: ctx, response: hijack, request: r.WithContext(ctx)}
		// A canceled session's reads and writes end when its connection does.
		stop := context.AfterFunc(ctx, hijack.closeSoon)
		serve(c)
		stop()
		opened.Cancel(nil)
		hijack.close()
		c.finish()
		outcome := c.outcome()
		if left = errors.Is(outcome, errGone); left {
			return nil // as sessions end every day
		}
		return outcome
	}, attribute.String("trivet.session.protocol", opened.Protocol))
	log = log.With("seconds", time.Since(opened.Started).Seconds())
	if err != nil {
		log.WarnContext(ctx, "session ended with an error", "error", err)
		return
	}
	log.InfoContext(ctx, "session ended", "client_left", left)
}
