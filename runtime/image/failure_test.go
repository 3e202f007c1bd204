package image_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/runtime/image"
)

const ref = "registry.example/app:1"

func TestPullFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		code codes.Code
		says string
	}{
		"not found":     {fmt.Errorf("failed to resolve image: %s: %w", ref, errdefs.ErrNotFound), codes.NotFound, "image not found"},
		"no such host":  {errors.New("failed to do request: Head \"https://registry.example/v2/\": dial tcp: lookup registry.example: no such host"), codes.Unknown, "no such host"},
		"refused":       {errors.New("dial tcp 127.0.0.1:5000: connect: connection refused"), codes.Unknown, "connection refused"},
		"server error":  {errors.New("unexpected status from HEAD request to https://registry.example/v2/app/manifests/1: 503 Service Unavailable"), codes.Unknown, "503"},
		"no access":     {errors.New("pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"), codes.Unauthenticated, "check the credentials"},
		"unauthorized":  {errors.New("failed to fetch oauth token: unexpected status from POST request to https://auth.example/token: 401 Unauthorized"), codes.Unauthenticated, "check the credentials"},
		"no basic auth": {fmt.Errorf("%w: no basic auth credentials", errdefs.ErrNotImplemented), codes.Unauthenticated, "check the credentials"},
		"containerd":    {fmt.Errorf("dial unix /run/containerd.sock: connect: connection refused: %w", errdefs.ErrUnavailable), codes.Unavailable, "containerd.sock"},
		"disk full":     {errors.New("write /var/lib/x: no space left on device"), codes.Unknown, "no space left"},
		"cancelled":     {fmt.Errorf("fetch: %w", context.Canceled), codes.Canceled, "canceled"},
		"bad image":     {fmt.Errorf("schema 1: %w", errdefs.ErrInvalidArgument), codes.InvalidArgument, "schema 1"},
	} {
		got := status.Convert(rpc.ToGRPC(image.PullFailure(ref, c.err)))
		if got.Code() != c.code || !strings.Contains(got.Message(), c.says) || !strings.Contains(got.Message(), ref) {
			t.Errorf("%s: %v", name, got)
		}
		unavailable := map[string]bool{"no such host": true, "refused": true, "server error": true}[name]
		if strings.HasPrefix(got.Message(), crierrors.ErrRegistryUnavailable.Error()) != unavailable {
			t.Errorf("%s: the kubelet takes it wrongly: %v", name, got)
		}
	}
}

func TestFailureKeepsSecrets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`Get "https://s3.example/blob?X-Amz-Signature=SECRET&a=b": dial tcp: i/o timeout`: `Get "https://s3.example/blob": dial tcp: i/o timeout`,
		`Get "https://user:SECRET@registry.example/v2/": EOF`:                             `Get "https://registry.example/v2/": EOF`,
		`HTTPS://h/p?t=SECRET#SECRET and http://h2/?SECRET`:                               `HTTPS://h/p and http://h2/`,
		`what is this?`: `what is this?`,
	} {
		if got := image.Redact(text); got != want {
			t.Errorf("%q\n  is %q\nwant %q", text, got, want)
		}
	}
}

// FuzzRedact: no query and no password of a URL stays.
func FuzzRedact(f *testing.F) {
	f.Add("see ", "user:pw", "h.example/path", "sig=SECRET", " end")
	f.Fuzz(func(t *testing.T, before, user, path, query, after string) {
		for _, part := range []string{user, path, query} {
			if strings.ContainsAny(part, "\"' \t\r\n\v\f?#/@") || part == "" {
				return // not the parts of one URL
			}
		}
		text := before + " https://" + user + "@" + path + "?" + query + " " + after
		secret := user + "@"
		if got := image.Redact(text); strings.Contains(got, "https://"+secret) || strings.Contains(got, path+"?"+query) {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}
