package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"go.opentelemetry.io/otel/trace"
)

const (
	// TokenValidity is how long a client may take to use a URL.
	TokenValidity = time.Minute
	// MaxTokens bounds what unused URLs cost.
	MaxTokens = 1000
)

// Ticket is what a token stands for.
type Ticket struct {
	Kind Kind
	// Request is what the session does: the Prepare request.
	Request any
	// Parent is the span of the call that prepared the session.
	Parent trace.SpanContext
}

// Tokens gives out tokens and takes each back once. Safe for concurrent use.
type Tokens struct {
	now    func() time.Time
	mu     sync.Mutex
	issued map[string]issued
	oldest []string // in the order of issue; used ones stay until they expire
	closed bool     // a successor gives them out
}

type issued struct {
	ticket  Ticket
	expires time.Time
}

// NewTokens returns an empty set; now is the clock.
func NewTokens(now func() time.Time) *Tokens {
	return &Tokens{now: now, issued: make(map[string]issued)}
}

// Issue returns a new token, which no one can guess.
// Errors: ErrResourceExhausted (too many are unused), ErrUnavailable (handed over).
func (t *Tokens) Issue(ctx context.Context, kind Kind, request any) (string, error) {
	var raw [24]byte
	_, _ = rand.Read(raw[:]) // never fails: it ends the process instead
	token := base64.RawURLEncoding.EncodeToString(raw[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return "", errHandedOver
	}
	now := t.now()
	t.expire(now)
	if len(t.issued) >= MaxTokens {
		return "", fmt.Errorf("%d streaming URLs are waiting for their clients: %w", len(t.issued), errdefs.ErrResourceExhausted)
	}
	ticket := Ticket{Kind: kind, Request: request, Parent: trace.SpanContextFromContext(ctx)}
	t.issued[token] = issued{ticket, now.Add(TokenValidity)}
	t.oldest = append(t.oldest, token)
	return token, nil
}

// Redeem takes a token of a kind back; false if it is unknown, used, expired
// or of another kind.
func (t *Tokens) Redeem(kind Kind, token string) (Ticket, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(t.now())
	found, ok := t.issued[token]
	if !ok || found.ticket.Kind != kind {
		return Ticket{}, false
	}
	delete(t.issued, token)
	return found.ticket, true
}

// expire forgets tokens whose time is over. Used tokens stay in the queue
// until they come to its head, so it is compacted when most of it is used.
func (t *Tokens) expire(now time.Time) {
	for len(t.oldest) > 0 {
		found, ok := t.issued[t.oldest[0]]
		if ok && now.Before(found.expires) {
			break
		}
		delete(t.issued, t.oldest[0])
		t.oldest = t.oldest[1:]
	}
	if len(t.oldest) <= 2*MaxTokens {
		return
	}
	kept := make([]string, 0, MaxTokens)
	for _, token := range t.oldest {
		if _, ok := t.issued[token]; ok {
			kept = append(kept, token)
		}
	}
	t.oldest = kept
}
