package server_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trivet-cri/trivet/streamer/server"
)

// tcp is both ends of a connection.
func tcp(t testing.TB) (here, there *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialed.Close(), accepted.Close() })
	return accepted.(*net.TCPConn), dialed.(*net.TCPConn)
}

// noise are n bytes, no two stretches of which are equal.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// odd reads as much at a time as it likes, and sometimes nothing.
type odd struct{ io.Reader }

func (o odd) Read(p []byte) (int, error) {
	limits := []int{0, 1, 7, server.SmallIntake, server.SmallIntake + 1, 16 << 10, server.LargeIntake}
	return o.Reader.Read(p[:min(len(p), limits[rand.IntN(len(limits))])])
}

// inPieces writes data in pieces of all sizes and says that no more comes.
func inPieces(to *net.TCPConn, data []byte) {
	for len(data) > 0 {
		n := min(len(data), 1<<rand.IntN(19))
		_, _ = to.Write(data[:n])
		data = data[n:]
	}
	_ = to.CloseWrite()
}

// TestIntake: whatever is asked for and taken, and however it comes, it is
// what was sent, until its end.
func TestIntake(t *testing.T) {
	t.Parallel()
	sent := noise(3 << 20)
	for name, from := range map[string]func() io.Reader{
		"at once": func() io.Reader { return bytes.NewReader(sent) },
		"odd":     func() io.Reader { return odd{bytes.NewReader(sent)} },
		"bytes":   func() io.Reader { return iotest.HalfReader(iotest.DataErrReader(bytes.NewReader(sent))) },
		"TCP": func() io.Reader {
			here, there := tcp(t)
			go inPieces(there, sent[5000:]) // ends when all was read
			return server.Late(here, sent[:5000])
		},
	} {
		active := 0
		in := server.NewIntake(from(), func() { active++ })
		rest := sent
		for len(rest) > 0 {
			n := min(len(rest), rand.IntN(2<<rand.IntN(19)))
			switch fits, err := in.More(n); {
			case err != nil:
				t.Fatalf("%s: %v, %d bytes before the end", name, err, len(rest))
			case fits && in.Len() < n, !fits && in.Len() == 0 && n <= server.LargeIntake:
				t.Fatalf("%s: asked for %d bytes, %d are there, fits %t", name, n, in.Len(), fits)
			}
			n = min(in.Len(), rand.IntN(2<<rand.IntN(19)))
			if !bytes.Equal(in.Take(n), rest[:n]) {
				t.Fatalf("%s: something else comes, %d bytes before the end", name, len(rest))
			}
			rest = rest[n:]
		}
		if _, err := in.More(1); !errors.Is(err, io.EOF) || in.Len() > 0 || active == 0 {
			t.Errorf("%s: ends with %v, %d bytes are left, it was active %d times", name, err, in.Len(), active)
		}
	}
}

// TestIntakeIdle: who waits for more has the large buffer only if there is
// much in it, and what is there stays.
func TestIntakeIdle(t *testing.T) {
	t.Parallel()
	sent := noise(server.LargeIntake)
	for _, left := range []int{0, 1, server.SmallIntake - 1, server.SmallIntake, server.LargeIntake / 2} {
		here, there := tcp(t)
		in := server.NewIntake(server.Late(here, nil), func() {})
		const taken = 100_000
		_, _ = there.Write(sent[:taken+left])
		if _, err := in.More(taken + left); err != nil || !in.Large() {
			t.Fatalf("%v, large buffer: %t", err, in.Large())
		}
		_ = in.Take(taken)
		for limit := time.Millisecond; ; limit *= 2 { // it may be late, and not have waited
			_ = here.SetReadDeadline(time.Now().Add(limit))
			if _, err := in.More(left + 1); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%d bytes are left: %v", left, err)
			}
			if keeps := left >= server.SmallIntake; in.Large() == keeps {
				break
			}
			if limit > time.Second {
				t.Fatalf("%d bytes are left, large buffer: %t", left, in.Large())
			}
		}
		_ = here.SetReadDeadline(time.Time{})
		_, _ = there.Write(sent[taken+left : taken+left+8])
		if _, err := in.More(left + 8); err != nil || !bytes.Equal(in.Take(left+8), sent[taken:taken+left+8]) {
			t.Errorf("%d bytes are left, and something else comes, %v", left, err)
		}
	}
}

// TestIntakesShare: many at once, of which each gives its buffer to others
// again and again, see only their own.
func TestIntakesShare(t *testing.T) {
	t.Parallel()
	var working sync.WaitGroup
	for i := range 8 {
		here, there := tcp(t)
		mine := bytes.Repeat([]byte{byte(i)}, 20_000)
		working.Go(func() {
			for range 50 {
				_, _ = there.Write(mine)
				_, _ = io.ReadFull(there, make([]byte, 1)) // the other waits again
			}
			_ = there.Close()
		})
		working.Go(func() {
			in := server.NewIntake(server.Late(here, nil), func() {})
			for {
				if _, err := in.More(len(mine)); err != nil {
					return
				}
				if !bytes.Equal(in.Take(len(mine)), mine) {
					t.Errorf("%d has what another was sent", i)
				}
				_, _ = here.Write([]byte{0})
			}
		})
	}
	working.Wait()
}
