package pauseimage

import "syscall"

// assembler writes the instructions of one architecture.
type assembler interface {
	// call loads the arguments, each below 2^32, and enters the kernel.
	call(number uint32, arguments ...uint32)
	// again jumps to the offset if the last call was interrupted.
	again(offset int)
	// exit calls exit_group with 1 if the last call failed, else with 0.
	exit(number uint32)
	// code is what has been written.
	code() []byte
}

// calls are an architecture's numbers of system calls.
type calls struct{ sigprocmask, sigaction, sigtimedwait, exitGroup uint32 }

const (
	sigsetSize = 8
	// wanted is the signal set that ends the program.
	wanted = 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGTERM-1)

	sigBlock  = 0 // SIG_BLOCK
	sigIgnore = 1 // SIG_IGN
)

// data is what the program's calls point to: the set, then a struct sigaction
// of the kernel, whose flags, restorer and mask are zero.
func data() []byte {
	var out []byte
	out = word64(out, uint64(wanted))
	out = word64(out, sigIgnore)
	return append(out, make([]byte, 3*8)...)
}

// write writes the program. The signals that end it are blocked and waited
// for, because the first process of a namespace gets none that it has no
// handler for, and a handler would need a stack frame to return by. Ignoring
// SIGCHLD makes the kernel reap its children, adopted zombies included.
func write(a assembler, number calls, dataAddress uint32) {
	set, ignore := dataAddress, dataAddress+sigsetSize
	a.call(number.sigprocmask, sigBlock, set, 0, sigsetSize)
	a.call(number.sigaction, uint32(syscall.SIGCHLD), ignore, 0, sigsetSize)
	loop := len(a.code())
	a.call(number.sigtimedwait, set, 0, 0, sigsetSize)
	a.again(loop) // after SIGSTOP and SIGCONT
	a.exit(number.exitGroup)
}
