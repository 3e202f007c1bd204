package endpoint_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/launcher/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func configuration(t *testing.T) *config.Config {
	t.Helper()
	c := config.Default()
	c.State = filepath.Join(t.TempDir(), "state")
	return c
}

func TestOpenBinds(t *testing.T) {
	t.Parallel()
	c := configuration(t)
	e, err := endpoint.Open(t.Context(), c, nil)
	ok(t, err)
	if e.CRIAddress() != c.CRISocket() || !strings.HasPrefix(e.StreamAddress(), "127.0.0.1:") {
		t.Errorf("addresses are %s and %s", e.CRIAddress(), e.StreamAddress())
	}
	info, err := os.Stat(c.CRISocket())
	ok(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	// Nobody accepts, and nobody is refused.
	for network, address := range map[string]string{"unix": e.CRIAddress(), "tcp": e.StreamAddress()} {
		conn, err := net.Dial(network, address)
		ok(t, err)
		ok(t, conn.Close())
	}
	ok(t, e.Close())
	if _, err := os.Stat(c.CRISocket()); err == nil {
		t.Error("the socket file is left")
	}
}

func TestOpenRefusesListenersOfTheWrongKind(t *testing.T) {
	t.Parallel()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ok(t, err)
	defer func() { ok(t, tcp.Close()) }()
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	ok(t, err)
	defer func() { ok(t, unix.Close()) }()
	for name, listener := range map[string]interface{ File() (*os.File, error) }{endpoint.CRI: tcp, endpoint.Stream: unix} {
		file, err := listener.File()
		ok(t, err)
		c := configuration(t)
		_, err = endpoint.Open(t.Context(), c, listen.Inherited{name: {file}})
		if err == nil || !strings.Contains(err.Error(), `inherited listener "`+name+`"`) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(c.CRISocket()); err == nil {
			t.Errorf("%s: a socket file is left", name)
		}
	}
}

func TestPortThatIsTaken(t *testing.T) {
	t.Parallel()
	other, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ok(t, err)
	c := configuration(t)
	c.Streamer.Port = other.Addr().(*net.TCPAddr).Port

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := endpoint.Open(ctx, c, nil); err == nil || !strings.Contains(err.Error(), other.Addr().String()) {
		t.Errorf("error is %v", err)
	}

	// A port whose holder is about to end is waited for.
	release := time.AfterFunc(50*time.Millisecond, func() { _ = other.Close() })
	defer release.Stop()
	e, err := endpoint.Open(t.Context(), c, nil)
	ok(t, err)
	ok(t, e.Close())
}

func TestAwaitUnserved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	missing, stale, served := filepath.Join(dir, "missing"), filepath.Join(dir, "stale"), filepath.Join(dir, "served")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	ok(t, err)
	dead.SetUnlinkOnClose(false)
	ok(t, dead.Close())
	ok(t, endpoint.AwaitUnserved(t.Context(), missing, stale))

	live, err := net.Listen("unix", served)
	ok(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := endpoint.AwaitUnserved(ctx, missing, served); err == nil || !strings.Contains(err.Error(), served) {
		t.Errorf("error is %v", err)
	}
	release := time.AfterFunc(50*time.Millisecond, func() { _ = live.Close() })
	defer release.Stop()
	ok(t, endpoint.AwaitUnserved(t.Context(), served))
}
