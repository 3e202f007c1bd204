package eager_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/eager"
)

// pipe is one with room for a page, and the writer of it.
func pipe(t *testing.T) (*os.File, *os.File, eager.Writer) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(int(w.Fd()), true); err != nil { // Fd made it block
		t.Fatal(err)
	}
	return r, w, writer(t, w)
}

func writer(t *testing.T, w io.Writer) eager.Writer {
	t.Helper()
	e, ok := eager.New(w).(eager.Writer)
	if !ok {
		t.Fatalf("%T cannot be written to eagerly", w)
	}
	return e
}

func TestTryWrite(t *testing.T) {
	t.Parallel()
	r, _, w := pipe(t)
	page := os.Getpagesize()
	data := [][]byte{[]byte("abc"), nil, bytes.Repeat([]byte("d"), page), []byte("e")}
	n, err := w.TryWrite(data)
	if n != page || err != nil {
		t.Fatalf("%d bytes and %v, not %d, which is what fits", n, err, page)
	}
	if string(data[0]) != "abc" || len(data[2]) != page {
		t.Error("what was given has changed")
	}
	if n, err := w.TryWrite(data); n != 0 || err != nil {
		t.Errorf("%d bytes and %v of a full pipe", n, err)
	}
	got := make([]byte, page)
	if _, err := io.ReadFull(r, got); err != nil || string(got[:4]) != "abcd" || got[page-1] != 'd' {
		t.Errorf("%.10q arrived, %v", got, err)
	}
	if n, err := w.TryWrite([][]byte{[]byte("x"), []byte("yz")}); n != 3 || err != nil {
		t.Errorf("%d bytes and %v of an empty pipe", n, err)
	}
}

// TestReaderAtWork: much goes through a small pipe as long as somebody reads.
func TestReaderAtWork(t *testing.T) {
	t.Parallel()
	r, file, w := pipe(t)
	sent := bytes.Repeat([]byte("0123456789"), 50_000)
	got := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(r)
		got <- all
	}()
	for rest := sent; len(rest) > 0; {
		half := len(rest) / 2
		n, err := w.TryWrite([][]byte{rest[:half], rest[half:]})
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	_ = file.Close()
	if !bytes.Equal(<-got, sent) {
		t.Error("something else arrived")
	}
}

// TestMuch: whoever always makes room in time, but has much to take, is not
// waited for until the end.
func TestMuch(t *testing.T) {
	t.Parallel()
	r, file, w := pipe(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, os.Getpagesize()))
	}()
	data := slices.Repeat([][]byte{make([]byte, 1<<20)}, 200)
	n, err := w.TryWrite(data)
	if n == 0 || n > 16<<20 || err != nil {
		t.Errorf("%d bytes and %v", n, err)
	}
	_ = file.Close()
	<-ended
}

func TestTryWriteErrors(t *testing.T) {
	t.Parallel()
	r, file, w := pipe(t)
	_ = r.Close()
	if _, err := w.TryWrite([][]byte{[]byte("a")}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("without a reader: %v", err)
	}
	_ = file.Close()
	if _, err := w.TryWrite([][]byte{[]byte("a")}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close of a file: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	socket := writer(t, conn)
	if n, err := socket.TryWrite([][]byte{[]byte("a")}); n != 1 || err != nil {
		t.Errorf("socket: %d bytes, %v", n, err)
	}
	_ = conn.Close()
	if _, err := socket.TryWrite([][]byte{[]byte("a")}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close of a socket: %v", err)
	}
}

func TestNewOfOthers(t *testing.T) {
	t.Parallel()
	plain := &bytes.Buffer{}
	if got := eager.New(plain); got != io.Writer(plain) {
		t.Errorf("%T", got)
	}
}
