// Package faulty is a gRPC proxy that fails one chosen call.
//
//	         ┌──▶ containerd
//	runtime ──▶ Proxy ──▶ netsync
//	         └──▶ streamer
//
// It forwards every service without knowing it. A test counts the calls of
// an operation, then repeats it once for each of them, failing the first call,
// the second, and so on: before it reaches the server, or after, when the work
// has been done and only the answer is lost. What else is to happen at that
// moment, such as the caller's death, the test says. With no fault armed the
// proxy changes nothing.
package faulty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Mode says when the chosen call fails.
type Mode int

// The modes.
const (
	Before Mode = iota // the server never sees the call
	After              // the server has carried it out
)

// String names the mode.
func (m Mode) String() string {
	if m == Before {
		return "before"
	}
	return "after"
}

// Proxy listens on unix sockets and forwards each to another one. It counts
// the calls on all of them as one sequence.
type Proxy struct {
	fronts []*front

	mu    sync.Mutex
	calls []string // methods since Arm
	fail  int      // the index in calls that fails; negative for none
	mode  Mode
	act   func()
	// failed is there when the chosen call is, and closed when it has failed.
	failed chan struct{}
}

// front is one socket.
type front struct {
	proxy  *Proxy
	server *grpc.Server
	target *grpc.ClientConn
	served chan struct{}
}

// maxMessage is the size limit of a message in bytes, above anybody's.
const maxMessage = 256 << 20

// Start serves the sockets that are the keys, and forwards to the unix sockets
// that are the values.
func Start(targets map[string]string) (*Proxy, error) {
	p := &Proxy{fail: -1}
	for socket, target := range targets {
		f, err := p.open(socket, target)
		if err != nil {
			p.Stop()
			return nil, err
		}
		p.fronts = append(p.fronts, f)
	}
	return p, nil
}

func (p *Proxy) open(socket, target string) (*front, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	conn, err := grpc.NewClient("unix://"+target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage),
		),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start proxy: %w", err), listener.Close())
	}
	f := &front{proxy: p, target: conn, served: make(chan struct{})}
	f.server = grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(f.forward),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	)
	go func() {
		defer close(f.served)
		_ = f.server.Serve(listener) // ends with Stop
	}()
	return f, nil
}

// Stop ends the proxy and all calls through it.
func (p *Proxy) Stop() {
	for _, f := range p.fronts {
		f.server.Stop()
		<-f.served
		_ = f.target.Close()
	}
}

// Arm forgets the calls so far and makes the nth call from now, counted from
// 0, fail. act, if not nil, is run just before that.
func (p *Proxy) Arm(n int, mode Mode, act func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.fail, p.mode, p.act, p.failed = nil, n, mode, act, nil
}

// Disarm returns the methods since Arm and whether the armed call was among
// them; if it was, it has failed by now, else no call will. Subscriptions, and calls that look whether a server is well, are not
// counted: they are no step of anything.
func (p *Proxy) Disarm() ([]string, bool) {
	p.mu.Lock()
	calls, failed := p.calls, p.failed
	p.calls, p.fail = nil, -1
	p.mu.Unlock()
	if failed != nil {
		<-failed
	}
	return calls, failed != nil
}

// count notes a call and returns what to do if it must fail, else nil.
func (p *Proxy) count(method string) (fail func(), mode Mode) {
	for _, background := range []string{"/Subscribe", "/WatchStatus", ".Version/Version", ".Health/Check", ".Health/Watch"} {
		if strings.HasSuffix(method, background) {
			return nil, Before
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, method)
	if len(p.calls)-1 != p.fail {
		return nil, Before
	}
	act, failed := p.act, make(chan struct{})
	p.failed = failed
	return func() {
		defer close(failed)
		if act != nil {
			act()
		}
	}, p.mode
}

func (f *front) forward(_ any, server grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(server)
	if !ok {
		return status.Error(codes.Internal, "call without a method")
	}
	fail, mode := f.proxy.count(method)
	if fail != nil && mode == Before {
		fail()
		return status.Errorf(codes.Unavailable, "fault before %s", method)
	}
	err := f.relay(server, method)
	if fail != nil {
		fail()
		return status.Errorf(codes.Unavailable, "fault after %s", method)
	}
	return err
}

// relay copies messages both ways until the server has answered.
func (f *front) relay(server grpc.ServerStream, method string) error {
	md, _ := metadata.FromIncomingContext(server.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(server.Context(), md))
	defer cancel()
	client, err := f.target.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	go ask(server, client) // ends with the call, when its context does
	return answer(client, server)
}

// ask copies the requests. Errors need no report: the answer has the reason.
func ask(server grpc.ServerStream, client grpc.ClientStream) {
	for {
		var message frame
		if err := server.RecvMsg(&message); err != nil {
			_ = client.CloseSend()
			return
		}
		if err := client.SendMsg(&message); err != nil {
			return
		}
	}
}

// answer copies the answers, then the status.
func answer(client grpc.ClientStream, server grpc.ServerStream) error {
	header, err := client.Header()
	if err != nil {
		return err
	}
	if err := server.SetHeader(header); err != nil {
		return err
	}
	for {
		var message frame
		if err := client.RecvMsg(&message); err != nil {
			server.SetTrailer(client.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := server.SendMsg(&message); err != nil {
			return err
		}
	}
}
