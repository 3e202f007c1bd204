// Package journal remembers, across kill -9, which append to a log is under
// way and whether its input has been consumed.
//
// A pump copies a FIFO's head without consuming it, appends the formatted
// lines to the log, and only then consumes. A successor must know how far that
// came. The journal answers with one mapped page for each container:
//
//	Begin     record: log file, its size, length of the append, length of the input
//	append    the log's size tells whether it happened, entirely or in part
//	consume   the read that consumes puts the input's last byte into the mark
//
// The mark is the trick. It lies in the mapped page and holds the complement
// of the input's last byte until the kernel, within the one read that consumes
// the input, copies that byte over it. So "consumed" and "recorded as
// consumed" are the same instant, and no instant lies between them.
//
// Invariant: of two slots, the valid one with the higher sequence number is
// the newest, and the older one's batch has been consumed. A torn record has a
// wrong checksum and counts as never begun; its append cannot have started.
//
// The page survives the process because it belongs to the page cache. It is
// not synced: when the machine dies, the FIFOs die too.
package journal

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	pageSize = 4096
	magic    = "TRVTPMP1"
	seenAt   = 16
	slotsAt  = slotSize
	// Streams is the number of FIFOs that a journal can tell apart.
	Streams = 2
)

// ErrForeign is returned by Open for a file that is not a journal.
var ErrForeign = errors.New("not a pump journal")

// Journal is one container's mapped page. Not safe for concurrent use.
type Journal struct {
	page []byte
	seq  uint64
}

// Create makes a journal at path, which must not exist.
func Create(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	defer func() { _ = file.Close() }() // the mapping keeps the file
	// Written in full, so that a full disk shows here and not as a fault in
	// the mapping later.
	page := make([]byte, pageSize)
	copy(page, magic)
	if _, err := file.Write(page); err != nil {
		return nil, fmt.Errorf("write journal %q: %w", path, err)
	}
	return mapped(file)
}

// Open maps the journal that a predecessor left at path.
func Open(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer func() { _ = file.Close() }() // the mapping keeps the file
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat journal %q: %w", path, err)
	}
	if info.Size() != pageSize {
		return nil, fmt.Errorf("journal %q has %d bytes: %w", path, info.Size(), ErrForeign)
	}
	j, err := mapped(file)
	if err != nil {
		return nil, err
	}
	if string(j.page[:len(magic)]) != magic {
		_ = j.Close()
		return nil, fmt.Errorf("journal %q: %w", path, ErrForeign)
	}
	if newest, _, ok := j.newest(); ok {
		j.seq = newest.seq
	}
	return j, nil
}

func mapped(file *os.File) (*Journal, error) {
	page, err := unix.Mmap(int(file.Fd()), 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map journal %q: %w", file.Name(), err)
	}
	return &Journal{page: page}, nil
}

// Close unmaps the page and leaves the file. Closing again does nothing.
func (j *Journal) Close() error {
	if j.page == nil {
		return nil
	}
	if err := unix.Munmap(j.page); err != nil {
		return fmt.Errorf("unmap journal: %w", err)
	}
	j.page = nil
	return nil
}

func (j *Journal) slot(seq uint64) []byte {
	at := slotsAt + int(seq%2)*slotSize
	return j.page[at : at+slotSize : at+slotSize]
}

func (j *Journal) newest() (r record, slot []byte, ok bool) {
	for i := range uint64(2) {
		if got, valid := decode(j.slot(i)); valid && (!ok || got.seq > r.seq) {
			r, slot, ok = got, j.slot(i), true
		}
	}
	return r, slot, ok
}

// Begin records a batch; last is the last byte of its input. The returned
// mark, one byte, must be where the consuming read puts that last byte.
func (j *Journal) Begin(b Batch, last byte) (mark []byte) {
	j.seq++
	slot := j.slot(j.seq)
	slot[markAt] = ^last
	r := record{seq: j.seq, want: last, Batch: b}
	r.encode(slot)
	return slot[markAt : markAt+1 : markAt+1]
}

// Last returns the newest batch and its mark. pending is true if its input has
// not been consumed. ok is false if there is none.
func (j *Journal) Last() (b Batch, mark []byte, pending, ok bool) {
	r, slot, ok := j.newest()
	if !ok {
		return Batch{}, nil, false, false
	}
	return r.Batch, slot[markAt : markAt+1 : markAt+1], r.In > 0 && slot[markAt] != r.want, true
}

// Settle marks the newest batch as consumed, for input that no longer exists.
func (j *Journal) Settle() {
	if r, slot, ok := j.newest(); ok {
		slot[markAt] = r.want
	}
}

// SawWriter records that a stream has had a writer.
func (j *Journal) SawWriter(stream int) { j.page[seenAt+stream] = 1 }

// WriterSeen tells whether a stream has ever had a writer.
func (j *Journal) WriterSeen(stream int) bool { return j.page[seenAt+stream] != 0 }
