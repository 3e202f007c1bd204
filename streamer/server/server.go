// Package server is the streaming server: the HTTP side of exec, attach and
// port-forward, over SPDY and WebSocket, plain or with TLS.
//
//	Prepare… ──▶ token in a URL ──▶ client upgrades ──▶ session ──▶ Exec, Attach, Forward
//
// exec and attach are spoken over SPDY (versions 1 to 4) and over WebSocket
// channels (5, 4 and the one before, plain and base64); port-forward over
// SPDY, SPDY in a WebSocket's messages, and channels. kubelets translate what
// is newer than SPDY 4, and pass the rest on as it is.
//
// The protocols' servers are here and not k8s.io/cri-streaming's, which
// leaves goroutines behind when a client opens too many streams or too late,
// has no version 5, and puts no limit on what a client makes it keep. Every
// goroutine of a session has ended before the session has.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/forward"
	"github.com/trivet-cri/trivet/streamer/session"
)

// keepAlive is how long a connection stays open for another request.
const keepAlive = 30 * time.Second

// Exec runs a command with a client's streams.
type Exec interface {
	Stream(context.Context, *streamerv1.PrepareExecRequest, exec.Streams) (code int, err error)
}

// Attach joins a client to a container's streams.
type Attach interface {
	Attach(context.Context, *streamerv1.PrepareAttachRequest, attach.Streams) error
}

// Forward connects a client to a port.
type Forward interface {
	Forward(ctx context.Context, r *streamerv1.PreparePortForwardRequest, port int32, client forward.Stream) error
}

// Handlers are what sessions do.
type Handlers struct {
	Exec    Exec
	Attach  Attach
	Forward Forward
}

// Config says how to serve.
type Config struct {
	// IdleTimeout closes a session without traffic.
	IdleTimeout time.Duration
	// HeaderTimeout is what a client gets to send its request, and before it
	// the TLS handshake. 0: 10 seconds.
	HeaderTimeout time.Duration
	// HeaderLimit, in bytes, is what a client may send before it has shown a
	// token; the library adds 4096. 0: 16 KiB.
	HeaderLimit int
	// WaitingLimit is how many connections without a request are kept. 0:
	// all are.
	WaitingLimit int
	// CreationTimeout is what a client gets to open a session's streams. 0: 30 seconds.
	CreationTimeout time.Duration
	// Base is the URL below which clients see the server, nil for the
	// listener's address. Its port 0 stands for the listener's.
	Base *url.URL
	// DrainTimeout is what sessions get to end when the server stops.
	DrainTimeout time.Duration
	// TLS is nil for plain HTTP.
	TLS *tls.Config
}

// Server serves sessions on one listener.
type Server struct {
	config   Config
	handlers Handlers
	tokens   *session.Tokens
	sessions *session.Set
	log      *slog.Logger
	listener net.Listener
	base     url.URL
	http     *http.Server
	retired  chan struct{} // closed by Retire
}

// New returns a server for listener, whose address is in the URLs. The
// listener is the server's from now on: Serve closes it.
func New(listener net.Listener, config Config, handlers Handlers, tokens *session.Tokens, sessions *session.Set, log *slog.Logger) *Server {
	config.HeaderTimeout = cmp.Or(config.HeaderTimeout, 10*time.Second)
	config.HeaderLimit = cmp.Or(config.HeaderLimit, 16<<10)
	config.CreationTimeout = cmp.Or(config.CreationTimeout, remotecommand.DefaultStreamCreationTimeout)
	s := &Server{config: config, handlers: handlers, tokens: tokens, sessions: sessions, log: log, listener: listener, retired: make(chan struct{})}
	s.base = url.URL{Scheme: "http", Host: reachable(listener.Addr())}
	if config.TLS != nil {
		s.base.Scheme = "https"
	}
	if config.Base != nil {
		s.base = *config.Base
		if tcp, ok := listener.Addr().(*net.TCPAddr); ok && s.base.Port() == "0" {
			s.base.Host = net.JoinHostPort(s.base.Hostname(), strconv.Itoa(tcp.Port))
		}
	}
	s.http = s.newHTTP()
	return s
}

// reachable is an address as a client on this machine, the kubelet, dials it.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	// Go binds :: for both families.
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}

// URL returns a URL at which a client can open a session of a kind, once.
// Error: ErrResourceExhausted.
func (s *Server) URL(ctx context.Context, kind session.Kind, request any) (string, error) {
	token, err := s.tokens.Issue(ctx, kind, request)
	if err != nil {
		return "", err
	}
	return s.base.JoinPath(string(kind), token).String(), nil
}

// Serve serves until ctx ends. Then it stops to accept, lets sessions end for
// the drain timeout, cuts off the rest, and returns when all have ended. After
// Retire it returns when the last session has ended.
func (s *Server) Serve(ctx context.Context) error {
	server := s.http
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		if s.config.TLS != nil {
			err = server.ServeTLS(s.listener, "", "")
		} else {
			err = server.Serve(s.listener)
		}
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("serve streams on %s: %w", s.listener.Addr(), err)
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return s.drain(context.WithoutCancel(ctx), server)
		case <-s.retired:
			s.outlive(ctx)
			return nil
		}
	})
	err := group.Wait()
	return errors.Join(err, server.Close())
}

// retireLimit is how long a client that has connected may take to send its
// request when the server retires: afterwards the successor alone knows its token.
const retireLimit = 200 * time.Millisecond

// Retire stops to accept, so that another process can. A client that has
// connected already gets a moment to open its session. Call it once.
func (s *Server) Retire(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retireLimit)
	defer cancel()
	defer close(s.retired)
	if err := ignoreDeadline(s.http.Shutdown(ctx)); err != nil {
		return fmt.Errorf("stop to accept: %w", err)
	}
	return nil
}

// outlive waits for the sessions until ctx and then the drain timeout have ended.
func (s *Server) outlive(ctx context.Context) {
	limited, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(s.config.DrainTimeout, cancel)
		context.AfterFunc(limited, func() { timer.Stop() })
	})
	defer stop()
	if left := s.sessions.Drain(limited); left > 0 {
		s.log.WarnContext(ctx, "sessions did not end in time", "sessions", left)
	}
}

// newHTTP returns the HTTP server. Its timeouts are those of a request that
// opens no session: a session takes the connection over.
func (s *Server) newHTTP() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // HTTP/2 has no upgrades
	waiting := newLobby(s.config.WaitingLimit, s.log)
	return &http.Server{
		Handler:        waiting.handler(s.routes()),
		ReadTimeout:    s.config.HeaderTimeout,
		WriteTimeout:   s.config.HeaderTimeout,
		MaxHeaderBytes: s.config.HeaderLimit,
		IdleTimeout:    keepAlive,
		Protocols:      protocols,
		TLSConfig:      s.config.TLS,
		ConnState:      waiting.follow,
		ConnContext:    waiting.context,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// drain ends the listener and idle connections, and then the sessions.
func (s *Server) drain(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.DrainTimeout)
	defer cancel()
	var group errgroup.Group
	// Shutdown waits for no session: their connections are no longer its own.
	group.Go(func() error { return ignoreDeadline(server.Shutdown(ctx)) })
	if left := s.sessions.Drain(ctx); left > 0 {
		s.log.WarnContext(ctx, "sessions did not end in time", "sessions", left)
	}
	return group.Wait()
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
