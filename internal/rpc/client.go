package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Dial returns a connection to the unix socket at path. It does not wait:
// calls wait for the server to appear, as long as their context allows,
// so that members may start and restart in any order. Errors of calls carry
// errdefs kinds.
func Dial(path string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+path, append(Window(),
		grpc.WithTransportCredentials(peerCredentials{}),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(otelgrpc.WithFilter(notHealth))),
		grpc.WithChainUnaryInterceptor(fromGRPC, CountCall),
		grpc.WithChainStreamInterceptor(streamFromGRPC),
		grpc.WithDefaultCallOptions(
			grpc.WaitForReady(true),
			grpc.MaxCallRecvMsgSize(maxMessage),
			grpc.MaxCallSendMsgSize(maxMessage),
		),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 500 * time.Millisecond,
			},
			MinConnectTimeout: time.Second,
		}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return conn, nil
}

func fromGRPC(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return FromGRPC(invoke(ctx, method, req, reply, cc, opts...))
}

func streamFromGRPC(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, FromGRPC(err)
	}
	return nativeStream{stream}, nil
}

// nativeStream is a stream whose errors carry errdefs kinds.
type nativeStream struct{ grpc.ClientStream }

// RecvMsg returns io.EOF at the end, as it is.
func (s nativeStream) RecvMsg(m any) error { return streamError(s.ClientStream.RecvMsg(m)) }

// SendMsg returns io.EOF when the stream has ended, as it is.
func (s nativeStream) SendMsg(m any) error { return streamError(s.ClientStream.SendMsg(m)) }

func streamError(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	return FromGRPC(err)
}
