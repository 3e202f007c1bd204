package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// unary maps a handler's error to its gRPC code and turns a panic into
// Internal: one bad request must not end the process.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(ctx, info.FullMethod, p)
		}
	}()
	resp, err = handler(ctx, req)
	return resp, s.finish(ctx, info.FullMethod, err)
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.panicked(stream.Context(), info.FullMethod, p)
		}
	}()
	return s.finish(stream.Context(), info.FullMethod, handler(srv, stream))
}

func (s *Server) panicked(ctx context.Context, method string, p any) error {
	s.log.ErrorContext(ctx, "RPC panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return status.Errorf(codes.Internal, "%s: internal error: %v", method, p)
}

// finish logs and maps err. NotFound is an everyday answer, so it is quiet.
func (s *Server) finish(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	mapped := ToGRPC(err)
	level := slog.LevelWarn
	switch status.Code(mapped) {
	case codes.NotFound, codes.Canceled, codes.Unimplemented:
		level = slog.LevelDebug
	}
	s.log.Log(ctx, level, "RPC ended with an error", "method", method, "code", status.Code(mapped).String(), "error", err.Error())
	return mapped
}

// ToGRPC maps an error's kind (an errdefs sentinel or a context error) to the
// gRPC code; the message stays. A status error deep inside keeps its code.
// The status has no details: with them the far side would say the parts of
// the message twice.
func ToGRPC(err error) error {
	if err == nil {
		return nil
	}
	code := status.Code(errgrpc.ToGRPC(err))
	var inner interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &inner) {
		return status.Error(code, err.Error())
	}
	found := inner.GRPCStatus()
	if err.Error() == found.Err().Error() { // it is the whole error
		return status.Error(found.Code(), found.Message())
	}
	return status.Error(found.Code(), err.Error())
}

// FromGRPC maps a status error back to its errdefs sentinel, so that callers
// use errors.Is. The connection does it for every call.
func FromGRPC(err error) error {
	if err == nil {
		return nil
	}
	return errgrpc.ToNative(err)
}
