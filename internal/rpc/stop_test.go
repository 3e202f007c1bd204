package rpc_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/trivet-cri/trivet/internal/listen"
)

func TestStopLetsCallsFinish(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	r := start(t, &service{attach: func(ctx context.Context) error {
		close(entered)
		<-release
		return ctx.Err()
	}}, time.Minute)
	called := make(chan error, 1)
	go func() { called <- attach(t.Context(), connect(t, r.path)) }()
	<-entered
	r.stop()
	select {
	case err := <-r.ended:
		t.Fatalf("ended before its call: %v", err)
	case <-time.After(50 * time.Millisecond): // it waits, which is the point
	}
	close(release)
	if err := <-called; err != nil {
		t.Errorf("call: %v", err)
	}
	if err := r.end(t, 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestStopCutsOffWhatOutlastsTheGrace(t *testing.T) {
	t.Parallel()
	entered, left := make(chan struct{}), make(chan struct{})
	r := start(t, &service{attach: func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		close(left)
		return ctx.Err()
	}}, 100*time.Millisecond)
	called := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		called <- attach(ctx, connect(t, r.path))
	}()
	<-entered
	begin := time.Now()
	r.stop()
	if err := r.end(t, 2*time.Second); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("cut off after %s", took)
	}
	select {
	case <-left:
	default:
		t.Error("returned before the handler did")
	}
	if err := <-called; err == nil {
		t.Error("the call that was cut off succeeded")
	}
}

// Neither clients that keep a connection for later, nor some that connect
// and say nothing, may hold a restart up.
func TestStopWithManyIdleConnections(t *testing.T) {
	t.Parallel()
	const clients, silent = 300, 50
	r := start(t, &service{attach: func(context.Context) error { return nil }}, time.Minute)
	// These come first, so they are accepted when the others are answered.
	for range silent {
		c, err := net.Dial("unix", r.path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	var conns []*grpc.ClientConn
	var calls sync.WaitGroup
	for range clients {
		conn := connect(t, r.path)
		conns = append(conns, conn)
		calls.Go(func() {
			if err := attach(t.Context(), conn); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	for _, conn := range conns {
		if state := conn.GetState(); state != connectivity.Ready {
			t.Fatalf("a connection is %s, not idle and open", state)
		}
	}
	begin := time.Now()
	r.stop()
	if err := r.end(t, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped after %s", time.Since(begin))
}

// A listener that fails ends the server, with the connections that it has.
func TestServeFails(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	listener, err := listen.BindUnix(r.path)
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	r.serveOn(t, listener, &service{attach: func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}, time.Second)
	called := make(chan error, 1)
	go func() { called <- attach(t.Context(), connect(t, r.path)) }()
	<-entered
	_ = listener.Close()
	if err := r.end(t, 2*time.Second); !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "serve "+r.path+": ") {
		t.Errorf("error is %v", err)
	}
	if err := <-called; !errdefs.IsUnavailable(err) { // and not its own deadline
		t.Errorf("the call under way: %v", err)
	}
}

func TestStoppedAtOnce(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	listener, err := listen.BindUnix(r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.serveOn(t, listener, &service{}, time.Second)
	r.stop()
	if err := r.end(t, 2*time.Second); err != nil {
		t.Error(err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}
