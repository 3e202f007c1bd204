package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/internal/wholefile"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// traceparent is the key under which the propagator keeps a span's name.
const traceparent = "traceparent"

// HandOver writes the tokens that nobody has used to a file for a successor,
// and takes no more.
func (t *Tokens) HandOver(path string) error {
	raw, err := proto.Marshal(t.give())
	if err != nil {
		return fmt.Errorf("encode tokens: %w", err)
	}
	if err := wholefile.Write(path, raw); err != nil {
		return fmt.Errorf("hand tokens over: %w", err)
	}
	return nil
}

// give empties t.
func (t *Tokens) give() *streamerv1.HandedTokens {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(t.now())
	handed := &streamerv1.HandedTokens{}
	for _, token := range t.oldest {
		if found, ok := t.issued[token]; ok {
			handed.Tokens = append(handed.Tokens, found.handed(token))
		}
	}
	t.issued, t.oldest, t.closed = make(map[string]issued), nil, true
	return handed
}

// TakeOver takes the tokens that a predecessor has left in a file, which it
// removes. There need not be one.
func (t *Tokens) TakeOver(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	handed := &streamerv1.HandedTokens{}
	if err = errors.Join(err, os.Remove(path)); err == nil {
		err = proto.Unmarshal(raw, handed)
	}
	if err != nil {
		return fmt.Errorf("take tokens over: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for _, h := range handed.GetTokens() {
		if next, ok := readHanded(h); ok && now.Before(next.expires) {
			t.issued[h.GetToken()] = next
			t.oldest = append(t.oldest, h.GetToken())
		}
	}
	return nil
}

func (i *issued) handed(token string) *streamerv1.HandedToken {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), i.ticket.Parent), carrier)
	h := &streamerv1.HandedToken{Token: token, Expires: timestamppb.New(i.expires), Traceparent: carrier[traceparent]}
	switch r := i.ticket.Request.(type) {
	case *streamerv1.PrepareExecRequest:
		h.Request = &streamerv1.HandedToken_Exec{Exec: r}
	case *streamerv1.PrepareAttachRequest:
		h.Request = &streamerv1.HandedToken_Attach{Attach: r}
	case *streamerv1.PreparePortForwardRequest:
		h.Request = &streamerv1.HandedToken_PortForward{PortForward: r}
	}
	return h
}

// readHanded is false for a request of a kind that this version does not know.
func readHanded(h *streamerv1.HandedToken) (issued, bool) {
	var ticket Ticket
	switch r := h.GetRequest().(type) {
	case *streamerv1.HandedToken_Exec:
		ticket.Kind, ticket.Request = Exec, r.Exec
	case *streamerv1.HandedToken_Attach:
		ticket.Kind, ticket.Request = Attach, r.Attach
	case *streamerv1.HandedToken_PortForward:
		ticket.Kind, ticket.Request = PortForward, r.PortForward
	default:
		return issued{}, false
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: h.GetTraceparent()})
	ticket.Parent = trace.SpanContextFromContext(ctx)
	return issued{ticket, h.GetExpires().AsTime()}, true
}

// errHandedOver is why no more tokens are given out.
var errHandedOver = fmt.Errorf("the streamer has handed over: %w", errdefs.ErrUnavailable)
