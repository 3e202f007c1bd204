package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// pgrep prints the ids of the processes whose name matches the pattern, its
// own excepted. The exit code is 1 if there is none.
func pgrep(args []string) (int, error) {
	if len(args) != 1 {
		return 2, errors.New("usage: pgrep PATTERN")
	}
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return 2, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 2, err
	}
	code := 1
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		name, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "comm"))
		if err == nil && pattern.MatchString(strings.TrimSpace(string(name))) {
			fmt.Println(pid)
			code = 0
		}
	}
	return code, nil
}
