package server

import (
	"container/list"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// complaintInterval is between two warnings about too many connections.
const complaintInterval = time.Minute

// lobby knows the connections on which no request is under way: those that
// have not sent one, and those that are kept for another. Anybody can open
// them, so there is a limit. Beyond it the longest waiting goes, of the host
// that has most: whoever opens thousands loses its own, and nobody else's
// has to wait, because one that says what it wants is not in the lobby.
type lobby struct {
	limit int
	log   *slog.Logger

	mu         sync.Mutex
	hosts      map[string]*list.List // of net.Conn, the longest waiting first
	places     map[net.Conn]*list.Element
	complained time.Time
}

func newLobby(limit int, log *slog.Logger) *lobby {
	return &lobby{limit: limit, log: log, hosts: make(map[string]*list.List), places: make(map[net.Conn]*list.Element)}
}

// follow is told of a connection's states.
func (l *lobby) follow(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew, http.StateIdle:
		l.enter(conn)
	case http.StateHijacked, http.StateClosed:
		l.leave(conn)
	case http.StateActive: // has sent a byte, which is no request
	}
}

type lobbyKey struct{}

// context lets a request find its connection.
func (l *lobby) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, lobbyKey{}, conn)
}

// handler takes connections whose request has come out of the lobby.
func (l *lobby) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(lobbyKey{}).(net.Conn); ok {
			l.leave(conn)
		}
		next.ServeHTTP(w, r)
	})
}

func (l *lobby) enter(conn net.Conn) {
	l.mu.Lock()
	host := hostOf(conn)
	if l.hosts[host] == nil {
		l.hosts[host] = list.New()
	}
	if l.places[conn] == nil {
		l.places[conn] = l.hosts[host].PushBack(conn)
	}
	var tooMany net.Conn
	if l.limit > 0 && len(l.places) > l.limit {
		tooMany = l.longest()
		l.remove(tooMany)
	}
	complain := tooMany != nil && time.Since(l.complained) >= complaintInterval
	if complain {
		l.complained = time.Now()
	}
	l.mu.Unlock()
	if complain {
		l.log.Warn("too many connections wait without a request: the longest waiting are closed", "limit", l.limit, "client", hostOf(tooMany))
	}
	if tooMany != nil {
		_ = bare(tooMany).Close()
	}
}

func (l *lobby) leave(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(conn)
}

func (l *lobby) remove(conn net.Conn) {
	place := l.places[conn]
	if place == nil {
		return
	}
	delete(l.places, conn)
	host := hostOf(conn)
	l.hosts[host].Remove(place)
	if l.hosts[host].Len() == 0 {
		delete(l.hosts, host)
	}
}

// longest is the longest waiting connection of the host that has most.
func (l *lobby) longest() net.Conn {
	var most *list.List
	for _, waiting := range l.hosts {
		if most == nil || waiting.Len() > most.Len() {
			most = waiting
		}
	}
	conn, _ := most.Front().Value.(net.Conn)
	return conn
}

func hostOf(conn net.Conn) string {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return ""
}

// bare is the connection below TLS, whose own Close may wait for the client.
func bare(conn net.Conn) net.Conn {
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}
