package pauseimage

import "syscall"

var amd64ELF = platform{machine: 62, pageSize: 4 << 10, calls: calls{sigprocmask: 14, sigaction: 13, sigtimedwait: 128, exitGroup: 231}}

type amd64 struct{ text []byte }

// Opcodes of mov r32, imm32 for the arguments' registers, in order of the
// system call convention.
var amd64Arguments = [][]byte{
	{0xbf},       // edi
	{0xbe},       // esi
	{0xba},       // edx
	{0x41, 0xba}, // r10d
}

func (a *amd64) call(number uint32, arguments ...uint32) {
	for i, value := range arguments {
		a.emit(amd64Arguments[i]...)
		a.text = word32(a.text, value)
	}
	a.enter(number)
}

func (a *amd64) enter(number uint32) {
	a.emit(0xb8) // mov eax, number
	a.text = word32(a.text, number)
	a.emit(0x0f, 0x05) // syscall
}

func (a *amd64) again(offset int) {
	a.emit(0x83, 0xf8, byte(0x100-syscall.EINTR)) // cmp eax, -EINTR
	a.emit(0x74, byte(offset-(len(a.text)+2)))    // je offset, from behind the jump
}

func (a *amd64) exit(number uint32) {
	a.emit(0x89, 0xc7)       // mov edi, eax
	a.emit(0xc1, 0xef, 0x1f) // shr edi, 31: the sign
	a.enter(number)
}

func (a *amd64) emit(code ...byte) { a.text = append(a.text, code...) }

func (a *amd64) code() []byte { return a.text }
