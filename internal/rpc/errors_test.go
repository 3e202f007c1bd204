package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trivet-cri/trivet/internal/rpc"
)

var kinds = []struct {
	kind error
	code codes.Code
}{
	{errdefs.ErrInvalidArgument, codes.InvalidArgument},
	{errdefs.ErrNotFound, codes.NotFound},
	{errdefs.ErrAlreadyExists, codes.AlreadyExists},
	{errdefs.ErrPermissionDenied, codes.PermissionDenied},
	{errdefs.ErrResourceExhausted, codes.ResourceExhausted},
	{errdefs.ErrFailedPrecondition, codes.FailedPrecondition},
	{errdefs.ErrConflict, codes.FailedPrecondition},
	{errdefs.ErrAborted, codes.Aborted},
	{errdefs.ErrOutOfRange, codes.OutOfRange},
	{errdefs.ErrNotImplemented, codes.Unimplemented},
	{errdefs.ErrInternal, codes.Internal},
	{errdefs.ErrUnavailable, codes.Unavailable},
	{errdefs.ErrDataLoss, codes.DataLoss},
	{errdefs.ErrUnauthenticated, codes.Unauthenticated},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},
}

// A kind crosses two processes: from netsync through the runtime to the
// kubelet. Neither the kind nor a word of the message may change.
func TestKindsSurviveTheWire(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		for name, err := range map[string]error{
			"wrapped":      fmt.Errorf("attach pod: %w", k.kind),
			"bare":         k.kind,
			"kind and why": fmt.Errorf("attach pod: %w: %w", errors.New("plugin said no"), k.kind),
		} {
			t.Run(k.code.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				for hop := range 3 {
					sent := rpc.ToGRPC(err)
					if got := status.Convert(sent); got.Code() != k.code || got.Message() != err.Error() {
						t.Fatalf("hop %d: sent as %s %q, want %s %q", hop, got.Code(), got.Message(), k.code, err)
					}
					arrived := rpc.FromGRPC(sent)
					if !errors.Is(arrived, k.kind) || arrived.Error() != err.Error() {
						t.Fatalf("hop %d: arrived as %q, want %q", hop, arrived, err)
					}
					err = arrived
				}
			})
		}
	}
}

func TestErrorsWithoutAndWithSeveralKinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err     error
		code    codes.Code
		message string
	}{
		"none":         {errors.New("boom"), codes.Unknown, "boom"},
		"joined":       {errors.Join(fmt.Errorf("a: %w", errdefs.ErrNotFound), errors.New("b")), codes.NotFound, "a: not found\nb"},
		"status":       {status.Error(codes.Aborted, "later"), codes.Aborted, "later"},
		"status below": {fmt.Errorf("pull: %w", status.Error(codes.Aborted, "later")), codes.Aborted, "pull: rpc error: code = Aborted desc = later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := status.Convert(rpc.ToGRPC(c.err))
			if got.Code() != c.code || got.Message() != c.message || len(got.Details()) != 0 {
				t.Errorf("sent as %s %q with details %v", got.Code(), got.Message(), got.Details())
			}
		})
	}
	if rpc.ToGRPC(nil) != nil || rpc.FromGRPC(nil) != nil {
		t.Error("nil became an error")
	}
}

func FuzzErrorMessage(f *testing.F) {
	f.Add("pull: not found", 1)
	f.Add(": not found", 0)
	f.Add("", 3)
	f.Fuzz(func(t *testing.T, message string, n int) {
		if n < 0 || n >= len(kinds) {
			return
		}
		k := kinds[n]
		arrived := rpc.FromGRPC(rpc.ToGRPC(fmt.Errorf("%s: %w", message, k.kind)))
		if !errors.Is(arrived, k.kind) {
			t.Errorf("%q arrived as %v", message, arrived)
		}
	})
}
