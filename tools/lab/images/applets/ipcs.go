package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ipcs shows the shared memory segments of this IPC namespace. Only the
// option -m is known.
func ipcs(args []string) (int, error) {
	if len(args) > 1 || len(args) == 1 && args[0] != "-m" {
		return 2, errors.New("usage: ipcs [-m]")
	}
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return 1, err
	}
	fmt.Print(segments(string(text)))
	return 0, nil
}

// segments makes the table out of the kernel's, whose columns are key, id,
// permissions, size, creator, last process, attached, owner, …
func segments(kernel string) string {
	var table strings.Builder
	table.WriteString("\n------ Shared Memory Segments --------\nkey        shmid      owner      perms      bytes      nattch\n")
	for line := range strings.Lines(kernel) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "key" {
			continue
		}
		fmt.Fprintf(&table, "%-10s %-10s %-10s %-10s %-10s %s\n", f[0], f[1], f[7], f[2], f[3], f[6])
	}
	return table.String() + "\n"
}
