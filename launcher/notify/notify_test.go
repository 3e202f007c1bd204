package notify_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/launcher/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// systemd is the other end of the socket in NOTIFY_SOCKET.
func systemd(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return socket
}

func receive(t *testing.T, socket *net.UnixConn) string {
	t.Helper()
	message := make([]byte, 4096)
	if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := socket.Read(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(message[:n])
}

func TestMessages(t *testing.T) {
	socket := systemd(t)
	n := notify.New(slog.New(slog.DiscardHandler))
	for _, test := range []struct {
		do   func()
		want string
	}{
		// A reload that is refused before the first generation serves must not
		// end the start.
		{func() { n.Reloaded(errors.New("a\nb")) }, `STATUS=not reloaded: a; b`},
		{func() { n.Down("why") }, `STATUS=restarting the group: why`},
		{func() { n.Serving(2) }, "READY=1\nSTATUS=generation 2 serves"},
		{n.Reloading, `RELOADING=1\nMONOTONIC_USEC=\d+`},
		{func() { n.Reloaded(errors.New("why")) }, "READY=1\nSTATUS=not reloaded: why"},
		{func() { n.Reloaded(nil) }, "READY=1"},
		{n.Stopping, "STOPPING=1\nSTATUS=stopping the group"},
	} {
		test.do()
		if got := receive(t, socket); !regexp.MustCompile("^" + test.want + "$").MatchString(got) {
			t.Errorf("message is %q, want %q", got, test.want)
		}
	}
}

func TestWatchdog(t *testing.T) {
	socket := systemd(t)
	t.Setenv("WATCHDOG_USEC", "3000")
	n := notify.New(slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error)
	block, signs := make(chan struct{}), 0
	go func() {
		ended <- n.Watch(ctx, func() {
			if signs++; signs > 2 {
				<-block
			}
		})
	}()
	for range 2 {
		if got := receive(t, socket); got != "WATCHDOG=1" {
			t.Errorf("message is %q", got)
		}
	}
	// Nothing is sent while the launcher does not live.
	if err := socket.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := socket.Read(make([]byte, 100)); err == nil {
		t.Errorf("a message of %d bytes came without a sign of life", n)
	}
	stop()
	close(block)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	var log bytes.Buffer
	n := notify.New(slog.New(slog.NewTextHandler(&log, nil)))
	n.Serving(1)
	n.Stopping()
	if err := n.Watch(t.Context(), func() { t.Error("asked for life") }); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if err := n.Watch(t.Context(), func() {}); err == nil || !strings.Contains(err.Error(), "watchdog") {
		t.Errorf("error is %v", err)
	}
}

func TestServiceManagerThatIsGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	var log bytes.Buffer
	notify.New(slog.New(slog.NewTextHandler(&log, nil))).Serving(1)
	if !strings.Contains(log.String(), "systemd was not told") {
		t.Errorf("logged %q", log.String())
	}
}

// TestServiceManagerThatDoesNotRead fills its queue: the launcher goes on.
func TestServiceManagerThatDoesNotRead(t *testing.T) {
	systemd(t)
	var log bytes.Buffer
	n := notify.New(slog.New(slog.NewTextHandler(&log, nil)))
	for range 10000 {
		if n.Down("again"); log.Len() > 0 {
			break
		}
	}
	if !strings.Contains(log.String(), "timeout") {
		t.Errorf("logged %q", log.String())
	}
}
