package session_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

// TestTokensHandedOver issues tokens in one process and redeems them in the
// next, and in the one after that.
func TestTokensHandedOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	now := time.Now()
	clock := func() time.Time { return now }
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	ctx := trace.ContextWithSpanContext(t.Context(), parent)
	requests := map[session.Kind]proto.Message{
		session.Exec:        &streamerv1.PrepareExecRequest{Container: &streamerv1.Container{Id: "a"}, Cmd: []string{"ls"}},
		session.Attach:      &streamerv1.PrepareAttachRequest{Container: &streamerv1.Container{Id: "b"}, Tty: true},
		session.PortForward: &streamerv1.PreparePortForwardRequest{PodId: "c", Ports: []int32{80}},
	}
	tokens := session.NewTokens(clock)
	used := issue(t, tokens, session.Exec, requests[session.Exec])
	tokens.Redeem(session.Exec, used)
	expired := issue(t, tokens, session.Exec, requests[session.Exec])
	now = now.Add(session.TokenValidity / 2)
	issued := make(map[session.Kind]string)
	for kind, request := range requests {
		token, err := tokens.Issue(ctx, kind, request)
		if err != nil {
			t.Fatal(err)
		}
		issued[kind] = token
	}
	for generation := range 2 {
		if err := tokens.HandOver(path); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("file is %v, error %v", info.Mode(), err)
		}
		for kind, token := range issued {
			if _, ok := tokens.Redeem(kind, token); ok {
				t.Errorf("%s: the predecessor takes the token too", kind)
			}
		}
		if _, err := tokens.Issue(ctx, session.Exec, requests[session.Exec]); !errdefs.IsUnavailable(err) {
			t.Errorf("after the hand-over: %v", err)
		}
		now = now.Add(session.TokenValidity / 3 * time.Duration(1-generation))
		tokens = session.NewTokens(clock)
		if err := tokens.TakeOver(path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the file stays: %v", err)
		}
	}
	now = now.Add(session.TokenValidity / 4) // past the first ones' minute
	for _, token := range []string{used, expired} {
		if _, ok := tokens.Redeem(session.Exec, token); ok {
			t.Error("a token that was used or has expired is valid again")
		}
	}
	for kind, token := range issued {
		ticket, ok := tokens.Redeem(kind, token)
		request, _ := ticket.Request.(proto.Message)
		if !ok || ticket.Kind != kind || !proto.Equal(request, requests[kind]) || !ticket.Parent.Equal(parent) {
			t.Errorf("%s: ticket is %+v, %t", kind, ticket, ok)
		}
		if _, ok := tokens.Redeem(kind, token); ok {
			t.Errorf("%s: redeemed twice", kind)
		}
	}
}

func issue(t *testing.T, tokens *session.Tokens, kind session.Kind, request any) string {
	t.Helper()
	token, err := tokens.Issue(t.Context(), kind, request)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTakeOverNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := session.NewTokens(time.Now).TakeOver(path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("\xff\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := session.NewTokens(time.Now).TakeOver(path); err == nil {
		t.Error("garbage was taken over")
	}
}

// FuzzTakeOver must survive whatever is in the file.
func FuzzTakeOver(f *testing.F) {
	f.Add([]byte(nil))
	seed, err := proto.Marshal(&streamerv1.HandedTokens{Tokens: []*streamerv1.HandedToken{{Token: "t", Traceparent: "00-x"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		tokens := session.NewTokens(time.Now)
		if tokens.TakeOver(path) != nil {
			return
		}
		if err := tokens.HandOver(path); err != nil {
			t.Fatal(err)
		}
		if err := session.NewTokens(time.Now).TakeOver(path); err != nil {
			t.Errorf("what was taken over is not read again: %v", err)
		}
	})
}
