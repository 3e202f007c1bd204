package shimio

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// maxPath is the longest path of a unix socket, in bytes.
const maxPath = 107

// Endpoint is where a shim serves containerd's streaming API.
type Endpoint struct {
	text     string
	protocol string // ttrpc or grpc
	network  string // unix, vsock or hvsock
	path     string // of the socket, for unix and hvsock
	cid      uint32 // for vsock
	port     uint32 // for vsock and hvsock
}

// Parse reads the address of a sandbox as its shim tells it:
//
//	<ttrpc|grpc>+unix:///PATH
//	<ttrpc|grpc>+vsock://CID:PORT
//	<ttrpc|grpc>+hvsock:///PATH:PORT
//
// Anything else is errdefs.ErrInvalidArgument.
func Parse(text string) (Endpoint, error) {
	e := Endpoint{text: text}
	scheme, address, ok := strings.Cut(text, "://")
	if ok {
		e.protocol, e.network, ok = strings.Cut(scheme, "+")
	}
	if !ok || e.protocol != "ttrpc" && e.protocol != "grpc" {
		return Endpoint{}, e.wrong("is not ttrpc+ or grpc+ and an address with ://")
	}
	var err error
	switch e.network {
	case "unix":
		err = e.readPath(address)
	case "vsock":
		cid, port, _ := strings.Cut(address, ":")
		if e.cid, err = e.number("context id", cid); err == nil {
			e.port, err = e.number("port", port)
		}
	case "hvsock":
		path, port, _ := strings.Cut(address, ":")
		if err = e.readPath(path); err == nil {
			e.port, err = e.number("port", port)
		}
	default:
		err = e.wrong("is on none of unix, vsock and hvsock")
	}
	if err != nil {
		return Endpoint{}, err
	}
	return e, nil
}

// Check is Parse for who only passes an endpoint on; empty is right.
func Check(text string) error {
	if text == "" {
		return nil
	}
	_, err := Parse(text)
	return err
}

func (e *Endpoint) readPath(path string) error {
	plain := strings.IndexFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("?#%", r) }) < 0
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || !plain || len(path) > maxPath {
		return e.wrong("has no absolute, clean path of a socket")
	}
	e.path = path
	return nil
}

func (e *Endpoint) number(what, text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, e.wrong("has the " + what + " " + strconv.Quote(text))
	}
	return uint32(n), nil
}

func (e *Endpoint) wrong(how string) error {
	return fmt.Errorf("stream_endpoint %q %s: %w", e.text, how, errdefs.ErrInvalidArgument)
}

// URL names one stream, as shims expect it in the place of a FIFO's path.
func (e Endpoint) URL(streamID string) string { return e.text + "?streaming_id=" + streamID }

func (e Endpoint) String() string { return e.text }
