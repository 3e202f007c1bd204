package session_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func about(target string) session.Info {
	return session.Info{Kind: session.Exec, Subject: &streamerv1.Container{Id: target}, Protocol: "spdy"}
}

func begin(t *testing.T, s *session.Set, target string) (context.Context, *session.Session) {
	t.Helper()
	ctx, opened, err := s.Begin(t.Context(), about(target))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, opened
}

func targets(s *session.Set) (list []string) {
	for _, info := range s.List() {
		list = append(list, info.Target())
	}
	return list
}

func TestListIsOldestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := session.NewSet()
		for _, name := range []string{"a", "b", "c"} {
			_, opened := begin(t, s, name)
			if name == "b" {
				opened.End(nil)
			} else {
				defer opened.End(nil)
			}
			time.Sleep(time.Second)
		}
		if got := targets(s); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("list is %v", got)
		}
	})
}

func TestProgramHidesArguments(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 127)
	for want, cmd := range map[string][]string{
		"":         nil,
		"mysql":    {"mysql", "-psecret"},
		long:       {long + "ö"},
		long + "x": {long + "xy", "z"},
	} {
		if got := session.Program(cmd); got != want {
			t.Errorf("of %q is %q", cmd, got)
		}
	}
}

func TestTargetOfAPod(t *testing.T) {
	t.Parallel()
	info := session.Info{Subject: session.PodOf(&streamerv1.PreparePortForwardRequest{PodId: "p0", PodName: "web"})}
	if info.Target() != "p0" || info.Subject.GetPodName() != "web" {
		t.Errorf("target %q of %v", info.Target(), info.Subject)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := session.NewSet()
		quick, first := begin(t, s, "quick")
		slow, second := begin(t, s, "slow")
		draining, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		done := make(chan int)
		go func() { done <- s.Drain(draining) }()
		time.Sleep(time.Second)
		if _, _, err := s.Begin(t.Context(), about("new")); !errdefs.IsUnavailable(err) {
			t.Errorf("a new session: %v", err)
		}
		first.End(nil)
		<-slow.Done()
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("cut off after %v", took)
		}
		if !errors.Is(context.Cause(slow), session.ErrStopping) || errors.Is(context.Cause(quick), session.ErrStopping) {
			t.Errorf("causes are %v and %v", context.Cause(slow), context.Cause(quick))
		}
		second.End(nil)
		if left := <-done; left != 0 {
			t.Errorf("%d left", left)
		}
	})
}

func TestDrainDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := session.NewSet()
		_, stuck := begin(t, s, "stuck")
		defer stuck.End(nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if left := s.Drain(ctx); left != 1 {
			t.Errorf("%d left", left)
		}
	})
}

func TestDrainWhenEmpty(t *testing.T) {
	t.Parallel()
	s := session.NewSet()
	_, opened := begin(t, s, "a")
	opened.End(nil)
	if left := s.Drain(t.Context()); left != 0 {
		t.Errorf("%d left", left)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens := session.NewTokens(func() time.Time { return now })
	issue := func() string {
		t.Helper()
		token, err := tokens.Issue(t.Context(), session.Exec, "request")
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first, second, third := issue(), issue(), issue()
	if first == second || len(first) < 22 {
		t.Errorf("tokens are %q and %q", first, second)
	}
	if _, ok := tokens.Redeem(session.Attach, first); ok {
		t.Error("redeemed as another kind")
	}
	if ticket, ok := tokens.Redeem(session.Exec, first); !ok || ticket.Request != "request" {
		t.Errorf("ticket is %v", ticket)
	}
	if _, ok := tokens.Redeem(session.Exec, first); ok {
		t.Error("redeemed twice")
	}
	now = now.Add(session.TokenValidity - time.Nanosecond)
	if _, ok := tokens.Redeem(session.Exec, second); !ok {
		t.Error("expired early")
	}
	now = now.Add(time.Nanosecond)
	if _, ok := tokens.Redeem(session.Exec, third); ok {
		t.Error("redeemed after its time")
	}
}

func TestTokensAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	tokens := session.NewTokens(func() time.Time { return now })
	for range 5 * session.MaxTokens { // used ones do not count
		token, err := tokens.Issue(t.Context(), session.Exec, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := tokens.Redeem(session.Exec, token); !ok {
			t.Fatal("not redeemed")
		}
	}
	for range session.MaxTokens {
		if _, err := tokens.Issue(t.Context(), session.Exec, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tokens.Issue(t.Context(), session.Exec, nil); !errdefs.IsResourceExhausted(err) {
		t.Errorf("error is %v", err)
	}
	now = now.Add(session.TokenValidity)
	if _, err := tokens.Issue(t.Context(), session.Exec, nil); err != nil {
		t.Error(err)
	}
}

func FuzzRedeem(f *testing.F) {
	tokens := session.NewTokens(time.Now)
	good, err := tokens.Issue(context.Background(), session.Exec, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add(good[1:])
	f.Fuzz(func(t *testing.T, token string) {
		if _, ok := tokens.Redeem(session.Exec, token); ok && token != good {
			t.Errorf("%q was redeemed", token)
		}
	})
}
