package exec

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// chunk is the size of copies in bytes: what the shim writes at once, twice.
const chunk = 64 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// output is one stream that a command writes.
type output struct {
	file *os.File
	// patience in nanoseconds is how long a read may wait; 0 for ever.
	patience atomic.Int64
}

// copyTo copies to w until the stream ends or patience does. When w fails,
// the rest is read and thrown away, so that the command does not block.
func (o *output) copyTo(w io.Writer) {
	buffer, _ := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buffer)
	failed := false
	for {
		if d := o.patience.Load(); d > 0 {
			_ = o.file.SetReadDeadline(time.Now().Add(time.Duration(d)))
		}
		n, err := o.file.Read(buffer[:])
		if n > 0 && !failed {
			_, writeErr := w.Write(buffer[:n])
			failed = writeErr != nil
		}
		if err != nil {
			return
		}
	}
}

// quiet ends the copy when the command's output pauses for d: whoever still
// has the stream open then is a child that the command has left behind.
func (o *output) quiet(d time.Duration) {
	o.patience.Store(int64(d))
	_ = o.file.SetReadDeadline(time.Now().Add(d))
}

// by ends the copy at a time, also while output flows.
func (o *output) by(t time.Time) { _ = o.file.SetReadDeadline(t) }

// capped keeps the first bytes written to it and counts nothing of the rest.
type capped struct {
	data      []byte
	limit     int
	truncated bool
}

func (c *capped) Write(p []byte) (int, error) {
	keep := min(len(p), c.limit-len(c.data))
	c.data = append(c.data, p[:keep]...)
	c.truncated = c.truncated || keep < len(p)
	return len(p), nil
}

// cut keeps the first n bytes at most.
func (c *capped) cut(n int) {
	if len(c.data) > n {
		c.data, c.truncated = c.data[:n], true
	}
}
