package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Batch describes one append of formatted output and the input it covers.
type Batch struct {
	// Dev and Ino identify the log file.
	Dev, Ino uint64
	// Offset is the log's size before the append, in bytes.
	Offset int64
	// Out is the number of bytes appended, In the number of bytes to be
	// consumed from the FIFO. In is 0 in a record that only names the file.
	Out, In uint32
	// Stream is the index of the FIFO.
	Stream uint8
}

// A slot in the file: the batch, a checksum, and the mark. The mark is outside
// of the checksum because the kernel writes it.
const (
	slotSize   = 64
	recordSize = 48
	sumAt      = 44
	markAt     = 48
)

type record struct {
	seq  uint64
	want byte // the mark's value once the input is consumed
	Batch
}

func (r *record) encode(slot []byte) {
	var raw [recordSize]byte
	binary.LittleEndian.PutUint64(raw[0:], r.seq)
	binary.LittleEndian.PutUint64(raw[8:], r.Dev)
	binary.LittleEndian.PutUint64(raw[16:], r.Ino)
	binary.LittleEndian.PutUint64(raw[24:], uint64(r.Offset))
	binary.LittleEndian.PutUint32(raw[32:], r.Out)
	binary.LittleEndian.PutUint32(raw[36:], r.In)
	raw[40], raw[41] = r.Stream, r.want
	binary.LittleEndian.PutUint32(raw[sumAt:], crc32.ChecksumIEEE(raw[:sumAt]))
	copy(slot, raw[:])
}

// decode reports false for a slot that was never written or is torn.
func decode(slot []byte) (record, bool) {
	if len(slot) < slotSize || binary.LittleEndian.Uint32(slot[sumAt:]) != crc32.ChecksumIEEE(slot[:sumAt]) {
		return record{}, false
	}
	r := record{
		seq:  binary.LittleEndian.Uint64(slot[0:]),
		want: slot[41],
		Batch: Batch{
			Dev:    binary.LittleEndian.Uint64(slot[8:]),
			Ino:    binary.LittleEndian.Uint64(slot[16:]),
			Offset: int64(binary.LittleEndian.Uint64(slot[24:])),
			Out:    binary.LittleEndian.Uint32(slot[32:]),
			In:     binary.LittleEndian.Uint32(slot[36:]),
			Stream: slot[40],
		},
	}
	// A slot of zeros has the checksum of something else than zeros, so seq
	// 0 cannot come from encode.
	return r, r.seq != 0 && r.Offset >= 0
}
