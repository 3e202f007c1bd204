package image

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	crierrors "k8s.io/cri-api/pkg/errors"
)

// refused and unreachable are what containerd's resolver writes when a
// registry does not let us in, and when it does not answer properly. Over the
// API only the text arrives.
var (
	refused = []string{
		"authorization failed", "insufficient_scope", "no basic auth credentials", "failed to find supported auth scheme",
		"pull access denied", "401 Unauthorized", "403 Forbidden",
	}
	unreachable = []string{
		"connection refused", "no such host", "i/o timeout", "TLS handshake timeout", "connection reset by peer",
		"network is unreachable", "no route to host", "server misbehaving", "Temporary failure in name resolution",
		"Client.Timeout exceeded", "unexpected EOF", ": EOF",
		"500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout",
	}
)

// failure is the error of a pull as the kubelet gets it. It carries a kind but
// not the original error, whose text may hold secrets.
type failure struct {
	text string
	kind error // nil if there is none
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.kind }

// pullFailure says what went wrong in a pull, and whose fault it is.
//
// The kubelet recognizes an unavailable registry by the first word of the
// message, and only if the gRPC code is Unknown; so that error has no kind.
func pullFailure(ref string, err error) error {
	detail := redact(err.Error())
	kind := errdefs.Resolve(err)
	switch {
	case errors.Is(kind, errdefs.ErrNotFound):
		return &failure{fmt.Sprintf("pull %q: image not found: %s", ref, detail), kind}
	case contains(detail, refused):
		return &failure{fmt.Sprintf("pull %q: the registry refuses access, check the credentials: %s", ref, detail), errdefs.ErrUnauthenticated}
	case errors.Is(kind, errdefs.ErrUnknown) && contains(detail, unreachable):
		// Other kinds are not the registry's: containerd that is away is
		// unavailable too, and its connection refused.
		return &failure{fmt.Sprintf("%s: pull %q: %s", crierrors.ErrRegistryUnavailable, ref, detail), crierrors.ErrRegistryUnavailable}
	case errors.Is(kind, errdefs.ErrUnknown):
		kind = nil
	}
	return &failure{fmt.Sprintf("pull %q: %s", ref, detail), kind}
}

func contains(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// query is the part of a URL that may grant access, as in presigned URLs of
// object stores; userinfo is user and password.
var (
	query    = regexp.MustCompile(`(?i)(\bhttps?://[^\s"'?#]*)[?#][^\s"']*`)
	userinfo = regexp.MustCompile(`(?i)(\bhttps?://)[^\s"'/?#]*@`)
)

// redact removes what may be secret from URLs in a message.
func redact(text string) string {
	return query.ReplaceAllString(userinfo.ReplaceAllString(text, "$1"), "$1")
}
