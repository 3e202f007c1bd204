package pauseimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// loadAddress is where the file is mapped, below 2^32 so that one
// instruction loads an address, and a multiple of any page size.
const loadAddress = 4 << 20

const (
	headerSize  = 64
	segmentSize = 56
	segments    = 2
	dataOffset  = headerSize + segments*segmentSize
)

// platform is what differs between executables.
type platform struct {
	machine  elf.Machine
	pageSize uint64
	calls    calls
}

// link makes the executable: headers, data and code in one segment that is
// readable and executable, and no sections.
func link(p platform, a assembler) []byte {
	write(a, p.calls, loadAddress+dataOffset)
	body := append(data(), a.code()...)
	size := uint64(dataOffset + len(body))

	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(p.machine), Version: uint32(elf.EV_CURRENT),
		Entry: loadAddress + dataOffset + uint64(len(data())),
		Phoff: headerSize, Ehsize: headerSize, Phentsize: segmentSize, Phnum: segments,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	header.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	header.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)

	load := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: loadAddress, Paddr: loadAddress, Filesz: size, Memsz: size, Align: p.pageSize,
	}
	// Without this one, the kernel makes the stack executable.
	stack := elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16}

	var file bytes.Buffer
	for _, part := range []any{&header, &load, &stack, body} {
		// A buffer takes all, and the parts have fixed sizes.
		_ = binary.Write(&file, binary.LittleEndian, part)
	}
	return file.Bytes()
}

func word32(to []byte, value uint32) []byte { return binary.LittleEndian.AppendUint32(to, value) }
func word64(to []byte, value uint64) []byte { return binary.LittleEndian.AppendUint64(to, value) }
