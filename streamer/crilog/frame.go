// Package crilog writes container output in the CRI log format:
//
//	2026-01-02T15:04:05.999999999+01:00 stdout F a line
//
// The third field is F for a line's end and P for a piece that more follows.
// A Framer turns raw output into whole records, purely; a File appends whole
// records and can take a torn append back. Neither keeps state of its own, so
// the caller decides when output counts as logged.
package crilog

import (
	"bytes"
	"time"
)

// Framer frames one stream's output. The zero value is not useful.
type Framer struct {
	full, partial []byte
}

// NewFramer returns the Framer of a stream, "stdout" or "stderr".
func NewFramer(stream string) Framer {
	return Framer{full: []byte(" " + stream + " F "), partial: []byte(" " + stream + " P ")}
}

// Frame appends to out a record for each line that is complete in in, and
// returns the extended out and how many bytes of in the records cover. Lines
// longer than limit bytes (at least 1) are cut into pieces of exactly limit; a
// carriage return before the newline belongs to the line's end. What is left
// uncovered is shorter than limit+2 bytes and has no newline, unless out has
// reached room bytes, where framing stops. final says that nothing follows in:
// then an unterminated rest becomes a last piece.
func (f Framer) Frame(out, in []byte, at time.Time, limit, room int, final bool) ([]byte, int) {
	var buffer [64]byte
	stamp := at.AppendFormat(buffer[:0], time.RFC3339Nano)
	used := 0
	for used < len(in) && len(out) < room {
		rest := in[used:]
		line, size, whole := cut(rest, limit, final)
		if size == 0 {
			break
		}
		tag := f.partial
		if whole {
			tag = f.full
		}
		out = append(out, stamp...)
		out = append(out, tag...)
		out = append(out, line...)
		out = append(out, '\n')
		used += size
	}
	return out, used
}

// cut takes the first line or piece from in: what to log, how many bytes it
// covers (0 if the line may still grow), and whether the line ends there.
func cut(in []byte, limit int, final bool) (line []byte, size int, whole bool) {
	// A line of limit bytes may be followed by \r\n, so two bytes beyond the
	// limit decide between a full line and a piece.
	window := in[:min(len(in), limit+2)]
	if end := bytes.IndexByte(window, '\n'); end >= 0 {
		line := window[:end]
		if end > 0 && line[end-1] == '\r' {
			line = line[:end-1]
		}
		if len(line) <= limit {
			return line, end + 1, true
		}
	}
	switch {
	case len(in) == limit+1 && in[limit] == '\r' && !final:
		return nil, 0, false
	case len(in) > limit:
		return in[:limit], limit, false
	case final:
		return in, len(in), false
	}
	return nil, 0, false
}
