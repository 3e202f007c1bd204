package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/listen"
)

// suffix ends the sockets' names: MEMBER-PID-metrics.sock.
const suffix = "-metrics.sock"

// Socket is where a process serves its metrics.
type Socket struct {
	Member string
	PID    int
	Path   string
}

// Sockets are those in the state directory, by name. Their processes may have
// ended.
func Sockets(state string) ([]Socket, error) {
	entries, err := os.ReadDir(state)
	if err != nil {
		return nil, fmt.Errorf("look for sockets of metrics: %w", err)
	}
	var found []Socket
	for _, entry := range entries {
		if member, pid, ok := parse(entry.Name()); ok && entry.Type() == fs.ModeSocket {
			found = append(found, Socket{member, pid, filepath.Join(state, entry.Name())})
		}
	}
	return found, nil
}

// parse reads a socket's name.
func parse(name string) (member string, pid int, ok bool) {
	rest, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return "", 0, false
	}
	at := strings.LastIndexByte(rest, '-')
	if at <= 0 {
		return "", 0, false
	}
	pid, err := strconv.Atoi(rest[at+1:])
	return rest[:at], pid, err == nil && pid > 0 && strconv.Itoa(pid) == rest[at+1:]
}

// Listen binds the socket of this process, which is a member, and removes
// those of processes of it that have been killed. Remove the socket at the end.
func Listen(state, member string) (net.Listener, Socket, error) {
	own := Socket{Member: member, PID: os.Getpid()}
	own.Path = filepath.Join(state, fmt.Sprintf("%s-%d%s", member, own.PID, suffix))
	listener, err := listen.BindUnix(own.Path)
	if err != nil {
		return nil, own, err
	}
	others, err := Sockets(state)
	for _, other := range others {
		if other.Member == member && errors.Is(unix.Kill(other.PID, 0), unix.ESRCH) {
			err = errors.Join(err, other.Remove())
		}
	}
	if err != nil {
		return nil, own, errors.Join(err, listener.Close(), own.Remove())
	}
	return listener, own, nil
}

// Remove removes the socket's file, if it is there.
func (s Socket) Remove() error {
	if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove socket of metrics: %w", err)
	}
	return nil
}
