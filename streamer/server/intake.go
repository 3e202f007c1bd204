package server

import (
	"io"
	"sync"
)

const (
	// smallIntake and largeIntake, in bytes, are what is read at once of a
	// connection: of one that says little, and of one that says more than that.
	smallIntake = 4 << 10
	largeIntake = 256 << 10
)

var largeIntakes = sync.Pool{New: func() any { return new([largeIntake]byte) }}

// intake buffers what comes on a connection. While it waits for more it has
// the large buffer only if much of a frame is there; or, of what is no
// lateReader, if more is likely to come at once.
type intake struct {
	from       io.Reader
	active     func() // called when bytes have come
	small      [smallIntake]byte
	large      *[largeIntake]byte // nil if small is used
	begin, end int                // of what was read and not taken
	behind     bool               // the last read took all that it could
}

func (i *intake) buffer() []byte {
	if i.large != nil {
		return i.large[:]
	}
	return i.small[:]
}

// len is how many bytes can be taken.
func (i *intake) len() int { return i.end - i.begin }

// take returns the next n bytes, which must be there. They are good until more.
func (i *intake) take(n int) []byte {
	taken := i.buffer()[i.begin : i.begin+n]
	i.begin += n
	return taken
}

// fits tells whether n bytes can be there at once without moving many.
func (i *intake) fits(n int) bool {
	return i.begin+n <= largeIntake || n <= largeIntake && i.len() < smallIntake
}

// more reads until at least n bytes are there, which must fit.
func (i *intake) more(n int) error {
	for i.len() < n {
		read, err := i.read(n)
		i.active()
		i.end += read
		i.behind = i.end == len(i.buffer())
		if err != nil && i.len() < n {
			return err
		}
	}
	return nil
}

// read reads once, towards having n bytes.
func (i *intake) read(n int) (int, error) {
	if late, ok := i.from.(lateReader); ok {
		return late.readLate(func() []byte {
			i.use(true, n)
			return i.buffer()[i.end:]
		}, func() {
			if i.len() < smallIntake {
				i.use(false, i.len())
			}
		})
	}
	i.use(n > smallIntake || i.behind || i.len() > 0 && i.large != nil, n)
	return i.from.Read(i.buffer()[i.end:])
}

// use has n bytes, with those that are there, fit into the buffer of a size.
func (i *intake) use(large bool, n int) {
	rest, old := i.buffer()[i.begin:i.end], i.large
	if large == (old != nil) && i.begin+n <= len(i.buffer()) && len(rest) > 0 {
		return
	}
	if !large {
		i.large = nil
	} else if old == nil {
		i.large, _ = largeIntakes.Get().(*[largeIntake]byte)
	}
	i.begin, i.end = 0, copy(i.buffer(), rest)
	if old != nil && !large {
		largeIntakes.Put(old)
	}
}
