// Package faulty is a gRPC proxy that fails one chosen call.
//
//	runtime ──▶ Proxy ──▶ containerd
//
// It forwards every service without knowing it. A test counts the calls of
// an operation, then repeats it once for each of them, failing the first call,
// the second, and so on: before it reaches the server, or after, when the work
// has been done and only the answer is lost. With no fault armed it changes nothing.
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

// Proxy listens on a unix socket and forwards to another one.
type Proxy struct {
	server *grpc.Server
	target *grpc.ClientConn
	served chan struct{}

	mu    sync.Mutex
	calls []string // methods since Reset
	fail  int      // the index in calls that fails; negative for none
	mode  Mode
	hit   bool
}

// maxMessage is the size limit of a message in bytes, above anybody's.
const maxMessage = 256 << 20

// Start serves socket and forwards to the unix socket target.
func Start(socket, target string) (*Proxy, error) {
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
	p := &Proxy{target: conn, served: make(chan struct{}), fail: -1}
	p.server = grpc.NewServer(
		grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(p.forward),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	)
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener) // ends with Stop
	}()
	return p, nil
}

// Stop ends the proxy and all calls through it.
func (p *Proxy) Stop() {
	p.server.Stop()
	<-p.served
	_ = p.target.Close()
}

// Reset forgets the calls so far and arms the nth call from now, counted from
// 0; a negative n arms nothing.
func (p *Proxy) Reset(n int, mode Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.fail, p.mode, p.hit = nil, n, mode, false
}

// Calls returns the methods since Reset and whether the armed call was among
// them. Subscriptions to events are not counted: they are no step of anything.
func (p *Proxy) Calls() ([]string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.calls...), p.hit
}

// count notes a call and returns true if it must fail.
func (p *Proxy) count(method string) (bool, Mode) {
	if strings.HasSuffix(method, "/Subscribe") || strings.HasPrefix(method, "/grpc.health.") {
		return false, Before
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, method)
	if len(p.calls)-1 != p.fail {
		return false, Before
	}
	p.hit = true
	return true, p.mode
}

func (p *Proxy) forward(_ any, server grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(server)
	if !ok {
		return status.Error(codes.Internal, "call without a method")
	}
	fail, mode := p.count(method)
	if fail && mode == Before {
		return status.Errorf(codes.Unavailable, "fault before %s", method)
	}
	err := p.relay(server, method)
	if fail {
		return status.Errorf(codes.Unavailable, "fault after %s", method)
	}
	return err
}

// relay copies messages both ways until the server has answered.
func (p *Proxy) relay(server grpc.ServerStream, method string) error {
	md, _ := metadata.FromIncomingContext(server.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(server.Context(), md))
	defer cancel()
	client, err := p.target.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
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
