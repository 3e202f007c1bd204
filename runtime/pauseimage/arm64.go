package pauseimage

import "syscall"

// The alignment suits kernels with pages of 4, 16 and 64 KiB.
var arm64ELF = platform{machine: 183, pageSize: 64 << 10, calls: calls{sigprocmask: 135, sigaction: 134, sigtimedwait: 137, exitGroup: 94}}

type arm64 struct{ text []byte }

func (a *arm64) call(number uint32, arguments ...uint32) {
	for i, value := range arguments {
		a.load(uint32(i), value)
	}
	a.enter(number)
}

// load sets a register.
func (a *arm64) load(register, value uint32) {
	a.emit(0xd2800000 | value&0xffff<<5 | register) // movz x, value
	if value>>16 != 0 {
		a.emit(0xf2a00000 | value>>16<<5 | register) // movk x, value, lsl 16
	}
}

func (a *arm64) enter(number uint32) {
	a.load(8, number)
	a.emit(0xd4000001) // svc 0
}

func (a *arm64) again(offset int) {
	a.emit(0x3100001f | uint32(syscall.EINTR)<<10) // cmn w0, EINTR
	words := uint32(offset-len(a.text)) >> 2       // from the jump itself
	a.emit(0x54000000 | words&0x7ffff<<5)          // b.eq offset
}

func (a *arm64) exit(number uint32) {
	a.emit(0x531f7c00) // lsr w0, w0, 31: the sign
	a.enter(number)
}

func (a *arm64) emit(instruction uint32) { a.text = word32(a.text, instruction) }

func (a *arm64) code() []byte { return a.text }
