package journald_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/journald"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var server = &streamerv1.Container{
	Id: strings.Repeat("0123456789", 6), Name: "server", PodName: "web-0", PodNamespace: "shop", PodUid: "5e0e",
}

// listen is a fake journald.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// read is the next entry, of a datagram or of a file that came with one.
func read(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text, oob := make([]byte, 1<<20), make([]byte, 256)
	n, oobn, _, _, err := conn.ReadMsgUnix(text, oob)
	if err != nil {
		t.Fatal(err)
	}
	text = text[:n]
	if oobn > 0 {
		text = readFile(t, oob[:oobn])
	}
	fields, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func readFile(t *testing.T, oob []byte) []byte {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "entry")
	defer func() { _ = file.Close() }()
	seals, err := unix.FcntlInt(file.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_WRITE == 0 {
		t.Errorf("seals %x, %v", seals, err)
	}
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// parse reads journald's export format.
func parse(text []byte) (map[string]string, error) {
	fields := make(map[string]string)
	for len(text) > 0 {
		head, rest, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			return nil, errors.New("a field has no end")
		}
		name, value, plain := bytes.Cut(head, []byte{'='})
		if !plain {
			if len(rest) < 8 || uint64(len(rest)) < binary.LittleEndian.Uint64(rest)+9 {
				return nil, fmt.Errorf("field %q is cut short", head)
			}
			size := binary.LittleEndian.Uint64(rest)
			value, rest = rest[8:8+size], rest[8+size+1:]
		}
		fields[string(name)], text = string(value), rest
	}
	return fields, nil
}

// begin runs a sender that ends with the test.
func begin(t *testing.T, socket string, log *slog.Logger) (s *journald.Sender, stop func()) {
	t.Helper()
	s = journald.New(socket, log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

func TestEntries(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	conn := listen(t, socket)
	s, _ := begin(t, socket, slog.New(slog.NewTextHandler(t.Output(), nil)))
	long := strings.Repeat("x", 600<<10)
	records := []byte("2026-01-02T15:04:05Z stdout F a line with = and  spaces\n" +
		"2026-01-02T15:04:05Z stderr P <4>low\n2026-01-02T15:04:05Z stdout F \n2026-01-02T15:04:05Z stderr F <9>\n" +
		"2026-01-02T15:04:05Z stdout F " + long + "\n")
	s.Send(server, records)
	clear(records) // the pump's buffer is used again
	for _, want := range []struct{ message, priority, partial string }{
		{"a line with = and  spaces", "6", ""}, {"low", "4", "true"}, {"", "6", ""}, {"<9>", "3", ""}, {long, "6", ""},
	} {
		got := read(t, conn)
		if got["MESSAGE"] != want.message || got["PRIORITY"] != want.priority || got["CONTAINER_PARTIAL_MESSAGE"] != want.partial {
			t.Errorf("got %.200v, want %.40v", got, want)
		}
		for name, value := range map[string]string{
			"CONTAINER_ID": server.GetId()[:12], "CONTAINER_ID_FULL": server.GetId(), "CONTAINER_NAME": "server", "SYSLOG_IDENTIFIER": "server",
			"K8S_POD_NAME": "web-0", "K8S_NAMESPACE_NAME": "shop", "K8S_POD_UID": "5e0e",
		} {
			if got[name] != value {
				t.Errorf("%s is %q", name, got[name])
			}
		}
	}
	if s.Dropped() != 0 {
		t.Errorf("%d lines are dropped", s.Dropped())
	}
}

// TestName: no name makes a field of its own.
func TestName(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	conn := listen(t, socket)
	s, _ := begin(t, socket, slog.New(slog.NewTextHandler(t.Output(), nil)))
	s.Send(&streamerv1.Container{Id: "short", Name: "a\nPRIORITY=0"}, []byte("t stdout F x\n"))
	if got := read(t, conn); got["CONTAINER_NAME"] != "a\nPRIORITY=0" || got["PRIORITY"] != "6" || got["CONTAINER_ID"] != "short" {
		t.Errorf("got %q", got)
	}
}

// TestAway: what journald does not hear is counted, warned about once, and
// nobody waits; when it is back it is found.
func TestAway(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	var text safe
	s, _ := begin(t, socket, slog.New(slog.NewTextHandler(&text, nil)))
	for i := range 3 {
		s.Send(server, []byte("t stdout F a\nt stdout F b\n"))
		await(t, func() bool { return s.Dropped() == uint64(2*i+2) })
	}
	if n := strings.Count(text.String(), "journald does not take"); n != 1 {
		t.Errorf("%d warnings: %s", n, text.String())
	}
	for _, message := range []string{"first", "after a restart"} {
		conn := listen(t, socket)
		s.Send(server, []byte("t stdout F "+message+"\n"))
		if got := read(t, conn)["MESSAGE"]; got != message {
			t.Errorf("heard %q", got)
		}
		_ = conn.Close()
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// TestStalled: journald that does not read holds up neither Send nor the end.
func TestStalled(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	listen(t, socket)
	s, stop := begin(t, socket, slog.New(slog.NewTextHandler(t.Output(), nil)))
	record := []byte("t stdout F " + strings.Repeat("x", 1000) + "\n")
	batch := bytes.Repeat(record, 64)
	began := time.Now()
	for range 200 {
		s.Send(server, batch)
	}
	if s.Dropped() == 0 {
		t.Error("12 MB are queued")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("senders waited, %v", took)
	}
	stop()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the end took %v", took)
	}
	if s.Dropped() > 200*64 {
		t.Errorf("%d lines of %d are dropped", s.Dropped(), 200*64)
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.After(10 * time.Second); !done(); {
		select {
		case <-ticker.C:
		case <-end:
			t.Fatal("it does not come")
		}
	}
}

// safe is a buffer for several goroutines.
type safe struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
