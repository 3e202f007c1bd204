package crilog_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/streamer/crilog"
)

var at = time.Date(2026, 1, 2, 15, 4, 5, 120, time.UTC)

func TestFrame(t *testing.T) {
	t.Parallel()
	const limit = 4
	for _, c := range []struct {
		name, in, want string // want: tag and text, joined by |
		final          bool
		used           int
	}{
		{"nothing", "", "", false, 0},
		{"a line", "ab\n", "Fab", false, 3},
		{"an empty line", "\n", "F", false, 1},
		{"carriage return", "ab\r\n", "Fab", false, 4},
		{"lone carriage return line", "\r\n", "F", false, 2},
		{"two carriage returns", "a\r\r\n", "Fa\r", false, 4},
		{"unfinished", "ab\ncd", "Fab", false, 3},
		{"unfinished at the end", "ab\ncd", "Fab|Pcd", true, 5},
		{"as long as the limit", "abcd\n", "Fabcd", false, 5},
		{"as long as the limit, carriage return", "abcd\r\n", "Fabcd", false, 6},
		{"one longer", "abcde\n", "Pabcd|Fe", false, 6},
		{"one longer, carriage return", "abcde\r\n", "Pabcd|Fe", false, 7},
		{"limit reached, undecided", "abcd", "", false, 0},
		{"carriage return after the limit, undecided", "abcd\r", "", false, 0},
		{"carriage return after the limit, decided", "abcd\rx", "Pabcd", false, 4},
		{"carriage return after the limit, at the end", "abcd\r", "Pabcd|P\r", true, 5},
		{"exactly twice the limit", "abcdefgh\n", "Pabcd|Fefgh", false, 9},
		{"much longer, unfinished", "abcdefghijk", "Pabcd|Pefgh", false, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, used := crilog.NewFramer("stdout").Frame(nil, []byte(c.in), at, limit, 1<<20, c.final)
			var want string
			for part := range strings.SplitSeq(c.want, "|") {
				if part != "" {
					want += fmt.Sprintf("2026-01-02T15:04:05.00000012Z stdout %s %s\n", part[:1], part[1:])
				}
			}
			if string(out) != want || used != c.used {
				t.Errorf("got %q, used %d; want %q, used %d", out, used, want, c.used)
			}
		})
	}
}

func TestFrameStopsWhenFull(t *testing.T) {
	t.Parallel()
	in := bytes.Repeat([]byte("\n"), 1000)
	f := crilog.NewFramer("stderr")
	out, used := f.Frame(nil, in, at, 100, 500, false)
	if used == 0 || used == len(in) || len(out) > 500+64 {
		t.Errorf("used %d of %d bytes for %d", used, len(in), len(out))
	}
	if n := bytes.Count(out, []byte("\n")); n != used {
		t.Errorf("%d records cover %d lines", n, used)
	}
}

// FuzzFrame checks that the records do not depend on how the input arrives,
// that they hold all of it, and that what is left over is bounded.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("a\nbb\r\nccccccccc\r"), 3, 5)
	f.Add([]byte("\r\n\r\r\n\n"), 1, 1)
	f.Fuzz(func(t *testing.T, in []byte, limit, step int) {
		limit, step = 1+abs(limit)%100, 1+abs(step)%50
		framer := crilog.NewFramer("stdout")
		whole, _ := framer.Frame(nil, in, at, limit, 1<<30, true)
		var got, pending []byte
		for rest := in; ; {
			n := min(step, len(rest))
			pending, rest = append(pending, rest[:n]...), rest[n:]
			final := len(rest) == 0
			out, used := framer.Frame(nil, pending, at, limit, 1<<30, final)
			got, pending = append(got, out...), pending[used:]
			if len(pending) > limit+1 || bytes.ContainsRune(pending, '\n') {
				t.Fatalf("left over: %q with limit %d", pending, limit)
			}
			if final {
				break
			}
		}
		if len(pending) > 0 || !bytes.Equal(got, whole) {
			t.Fatalf("in pieces: %q\nat once: %q", got, whole)
		}
		var text []byte
		for record := range bytes.Lines(whole) {
			fields := bytes.SplitN(record, []byte(" "), 4)
			body := fields[3][:len(fields[3])-1]
			if len(body) > limit {
				t.Fatalf("record %q is longer than %d", record, limit)
			}
			text = append(text, body...)
			if string(fields[2]) == "F" {
				text = append(text, '\n')
			}
		}
		if want := bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n")); !bytes.Equal(text, want) {
			t.Fatalf("records hold %q, input was %q", text, want)
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }
