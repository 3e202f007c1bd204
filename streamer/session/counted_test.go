package session_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/streamer/eager"
	"github.com/trivet-cri/trivet/streamer/session"
)

// source writes some bytes itself, the first of them eagerly if it can.
type source struct {
	io.ReadWriteCloser
	eager bool // it could
}

func (s *source) WriteTo(w io.Writer) (_ int64, err error) {
	var to eager.Writer
	if to, s.eager = w.(eager.Writer); s.eager {
		_, err = to.TryWrite([][]byte{[]byte("abc"), []byte("defg")})
	}
	_, _ = io.WriteString(w, "xyz")
	return 0, err
}

// hesitant takes five bytes of what is tried, and fails.
type hesitant struct{ bytes.Buffer }

var errHesitant = errors.New("hesitant")

func (h *hesitant) TryWrite(data [][]byte) (int, error) {
	n, _ := h.Write(bytes.Join(data, nil)[:5])
	return n, errHesitant
}

// TestCountsPushed: what a stream writes itself is counted, however it does.
func TestCountsPushed(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(*session.Session, *source) io.Reader{
		"reader":     func(s *session.Session, from *source) io.Reader { return s.Reader(from) },
		"connection": func(s *session.Session, from *source) io.Reader { return s.Connection(from) },
	} {
		_, opened := begin(t, session.NewSet(), "a")
		from := &source{}
		to, ok := wrap(opened, from).(io.WriterTo)
		if !ok {
			t.Fatalf("%s does not write itself", name)
		}
		var eagerly hesitant
		if _, err := to.WriteTo(&eagerly); !errors.Is(err, errHesitant) || !from.eager || eagerly.String() != "abcdexyz" {
			t.Errorf("%s: %q, eager: %t, %v", name, eagerly.String(), from.eager, err)
		}
		if got := opened.Info().In; got != 8 {
			t.Errorf("%s: %d bytes are counted", name, got)
		}
		var plainly strings.Builder
		if _, err := to.WriteTo(&plainly); err != nil || from.eager || plainly.String() != "xyz" || opened.Info().In != 11 {
			t.Errorf("%s: %q, eager: %t, %d bytes are counted, %v", name, plainly.String(), from.eager, opened.Info().In, err)
		}
		opened.End(nil)
	}
}
