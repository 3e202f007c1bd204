package harness

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// StartOnTerminal starts cmd on a pseudo-terminal of the given size, its
// controlling one, and returns the side where keys are typed and the screen
// is read. Reading gives an error when the command has ended. The caller closes it.
func StartOnTerminal(cmd *exec.Cmd, rows, columns uint16) (*os.File, error) {
	keyboard, screen, err := openTerminal()
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	defer func() { _ = screen.Close() }()
	if err := unix.IoctlSetWinsize(int(keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		_ = keyboard.Close()
		return nil, fmt.Errorf("size of terminal: %w", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		_ = keyboard.Close()
		return nil, fmt.Errorf("start %s on a terminal: %w", cmd.Path, err)
	}
	return keyboard, nil
}

// openTerminal opens both sides of a new pseudo-terminal.
func openTerminal() (keyboard, screen *os.File, err error) {
	keyboard, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		_ = keyboard.Close()
		return nil, nil, err
	}
	return keyboard, screen, nil
}
