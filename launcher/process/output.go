package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxLine bounds the memory that a child's line takes, in bytes; a longer one
// is forwarded in pieces, each a line.
const maxLine = 1 << 20

// Output is where the launcher and its children log: each Write reaches the
// writer below as one piece, so that whole lines never mix. It is the one
// place where a lock is held over a write, for that is its purpose. Safe for
// concurrent use.
type Output struct {
	mu sync.Mutex
	w  io.Writer
}

// NewOutput returns an Output on w.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

// Write passes p on in one piece.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// forward copies from to o line by line until from ends, and shows each line
// to tail. A line without its end gets one. Errors of o are passed over: a
// child must not stall because nobody reads the log.
func (o *Output) forward(from io.Reader, tail *tail) error {
	reader := bufio.NewReaderSize(from, 64<<10)
	var line []byte
	for {
		piece, err := reader.ReadSlice('\n')
		line = append(line, piece...)
		if errors.Is(err, bufio.ErrBufferFull) && len(line) < maxLine {
			continue
		}
		if len(line) > 0 {
			if line[len(line)-1] != '\n' {
				line = append(line, '\n')
			}
			tail.add(line)
			_, _ = o.Write(line)
			line = line[:0]
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read output: %w", err)
		}
	}
}
