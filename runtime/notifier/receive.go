package notifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// receiveLimit bounds how long an OCI runtime may take to hand over.
	receiveLimit = 10 * time.Second
	// maxState is the size from which a process's state is refused. It has all of
	// the container's annotations.
	maxState = 4 << 20
	// maxFiles is how many descriptors come along at most.
	maxFiles = 16
)

// receive takes the descriptor that an OCI runtime hands over with the state of
// a process. All others that come along are closed.
func receive(conn *net.UnixConn) (*handed, error) {
	if err := conn.SetDeadline(time.Now().Add(receiveLimit)); err != nil {
		return nil, fmt.Errorf("receive seccomp descriptor: %w", err)
	}
	text, control := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4*maxFiles))
	length, controls, _, _, err := conn.ReadMsgUnix(text, control)
	if err != nil {
		return nil, fmt.Errorf("receive seccomp descriptor: %w", err)
	}
	files, err := filesIn(control[:controls])
	if err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(io.LimitReader(conn, maxState))
	if err == nil {
		var chosen *handed
		if chosen, err = choose(append(text[:length], rest...), files); err == nil {
			closeAll(slices.DeleteFunc(files, func(f *os.File) bool { return f == chosen.file }))
			return chosen, nil
		}
	}
	closeAll(files)
	return nil, fmt.Errorf("receive seccomp descriptor: %w", err)
}

// filesIn are the descriptors of a control message, which are ours from then on.
func filesIn(control []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("receive seccomp descriptor: %w", err)
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // something else
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			_ = unix.SetNonblock(fd, true) // without, closing would not wake the reader
			files = append(files, os.NewFile(uintptr(fd), "seccomp notifications"))
		}
	}
	return files, nil
}

// handed is what an OCI runtime has handed over.
type handed struct {
	file *os.File
	// program is what the process executes then: still the OCI runtime.
	program fs.FileInfo
}

// byRuntime tells whether a thread executes the OCI runtime, which goes on for a
// while under the container's filter and tries what it may find forbidden.
func (h *handed) byRuntime(thread uint32) bool {
	now := program(int(thread))
	return now != nil && h.program != nil && os.SameFile(now, h.program)
}

// program is what a process executes, nil if it is gone.
func program(pid int) fs.FileInfo {
	info, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return nil
	}
	return info
}

// choose is the file that the state names so: its list of names is in the order
// of the descriptors.
func choose(text []byte, files []*os.File) (*handed, error) {
	var state specs.ContainerProcessState
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, fmt.Errorf("read process's state: %w", err)
	}
	at := slices.Index(state.Fds, specs.SeccompFdName)
	if at < 0 || at >= len(files) || len(state.Fds) != len(files) {
		return nil, fmt.Errorf("the state names %q, and %d descriptors came", state.Fds, len(files))
	}
	if slices.Contains(state.Fds[at+1:], specs.SeccompFdName) {
		return nil, errors.New("the state names two descriptors of seccomp")
	}
	return &handed{file: files[at], program: program(state.Pid)}, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // of no use
	}
}
