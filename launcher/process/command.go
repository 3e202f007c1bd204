package process

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Command is a program to run as a supervised child.
type Command struct {
	// Name is the member's, for messages.
	Name string
	// Path is the program's file; PATH is not searched.
	Path string
	// Args follow the program's name.
	Args []string
	// Files are inherited as descriptors from 3 on.
	Files []File
}

// File is a descriptor that a child inherits under a name. It stays the
// caller's, who keeps it open for the next child.
type File struct {
	Name string
	*os.File
}

// private are the variables that systemd means for the launcher alone: a
// child that believed them would answer in its place.
var private = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}

// environment is this process's own, with the announcement of the inherited
// files as sd_listen_fds(3) has it. LISTEN_PID is left out, for the child's
// pid is not known before it runs; package listen reads it so.
func (c *Command) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(private, name)
	})
	if len(c.Files) == 0 {
		return env
	}
	names := make([]string, len(c.Files))
	for i, f := range c.Files {
		names[i] = f.Name
	}
	return append(env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
}

// Check tells whether the program is there and may be run.
func (c *Command) Check() error {
	info, err := os.Stat(c.Path)
	if err != nil {
		return fmt.Errorf("program of %s: %w", c.Name, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("program of %s: %s is not an executable file", c.Name, c.Path)
	}
	return nil
}
