package process

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"
)

// maxReason bounds the line of output that is kept as a reason, in bytes.
const maxReason = 512

// Exit says how a process ended.
type Exit struct {
	// Code is the exit code; it means nothing when Signal is set.
	Code int
	// Signal ended the process; 0 when it exited by itself.
	Signal syscall.Signal
	// Line is the output line that explains it best: that of a panic, or else
	// the last one. Printable UTF-8, cut to a length for display.
	Line string
}

// String is a reason to show: code or signal, and the line unless all is well.
func (e Exit) String() string {
	how := fmt.Sprintf("exit code %d", e.Code)
	if e.Signal != 0 {
		how = "killed by " + unix.SignalName(e.Signal)
	}
	if e.Line == "" || e == (Exit{Line: e.Line}) {
		return how
	}
	return how + ": " + e.Line
}

// tail remembers the line that explains an end.
type tail struct {
	mu      sync.Mutex
	line    string
	panicky bool
}

// add takes a line with its end. After the first line of a panic nothing is
// taken any more: what follows are stacks.
func (t *tail) add(line []byte) {
	line = bytes.TrimSpace(line)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(line) == 0 || t.panicky {
		return
	}
	t.panicky = bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: "))
	t.line = printable(line)
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.line
}

// printable makes text fit for a terminal and for a protobuf string, whatever
// a dying process wrote.
func printable(text []byte) string {
	cut := ""
	if len(text) > maxReason {
		text, cut = text[:maxReason], "…"
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar || unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, string(text))
	return clean + cut
}
