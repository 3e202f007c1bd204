package server

import (
	"net/http"
	"strings"

	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

// noSuchSession is the answer to a token that opens nothing.
const noSuchSession = "no such session: a streaming URL can be used once, within a minute; ask for a new one"

// routes has one route for each kind of session.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for kind, open := range map[session.Kind]func(http.ResponseWriter, *http.Request, session.Ticket){
		session.Exec:        s.openExec,
		session.Attach:      s.openAttach,
		session.PortForward: s.openForward,
	} {
		handler := func(w http.ResponseWriter, r *http.Request) {
			if !httpstream.IsUpgradeRequest(r) {
				// Whoever looks at the URL does not use it up.
				http.Error(w, "this URL is for a client that upgrades to SPDY or WebSocket", http.StatusBadRequest)
				return
			}
			ticket, ok := s.tokens.Redeem(kind, r.PathValue("token"))
			if !ok {
				http.Error(w, noSuchSession, http.StatusNotFound)
				return
			}
			open(w, r, ticket)
		}
		mux.HandleFunc("GET /"+string(kind)+"/{token}", handler)
		mux.HandleFunc("POST /"+string(kind)+"/{token}", handler)
	}
	// A proxy may hand the path on as it is, or without the prefix.
	if prefix := strings.TrimSuffix(s.base.Path, "/"); prefix != "" {
		mux.Handle(prefix+"/", http.StripPrefix(prefix, mux))
	}
	return mux
}

func (s *Server) openExec(w http.ResponseWriter, r *http.Request, ticket session.Ticket) {
	request, _ := ticket.Request.(*streamerv1.PrepareExecRequest)
	s.open(w, r, ticket, session.Info{Subject: request.GetContainer(), Command: session.Program(request.GetCmd())}, func(c *client) { s.serveExec(c, request) })
}

func (s *Server) openAttach(w http.ResponseWriter, r *http.Request, ticket session.Ticket) {
	request, _ := ticket.Request.(*streamerv1.PrepareAttachRequest)
	s.open(w, r, ticket, session.Info{Subject: request.GetContainer()}, func(c *client) { s.serveAttach(c, request) })
}

func (s *Server) openForward(w http.ResponseWriter, r *http.Request, ticket session.Ticket) {
	request, _ := ticket.Request.(*streamerv1.PreparePortForwardRequest)
	s.open(w, r, ticket, session.Info{Subject: session.PodOf(request)}, func(c *client) { s.serveForward(c, request) })
}

// protocol names how a client talks.
func protocol(r *http.Request) string {
	if wsstream.IsWebSocketRequest(r) {
		return "websocket"
	}
	return "spdy"
}
