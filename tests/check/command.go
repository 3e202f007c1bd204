package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tally counts tests.
type tally struct{ passed, failed, skipped int }

func (t *tally) add(o tally) {
	t.passed += o.passed
	t.failed += o.failed
	t.skipped += o.skipped
}

// one is the tally of a step that is a single check.
func one(err error) (tally, error) {
	if err != nil {
		return tally{failed: 1}, err
	}
	return tally{passed: 1}, nil
}

// start prepares a command in the repository that ends politely with ctx.
func start(ctx context.Context, root, name string, args ...string) *exec.Cmd {
	if strings.HasPrefix(name, "tools/") {
		name = filepath.Join(root, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 3 * time.Minute // a lab that is torn down takes a while
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, os.Stdout, os.Stderr
	return cmd
}

// command is a check that passes when the command does.
func command(name string, args ...string) func(context.Context, string) (tally, error) {
	return func(ctx context.Context, root string) (tally, error) {
		return one(start(ctx, root, name, args...).Run())
	}
}

// tool is a check by one of the pinned programs of tools/dev/lint.
func tool(name string, args ...string) func(context.Context, string) (tally, error) {
	return command("go", append([]string{"tool", "-modfile=tools/dev/lint/go.mod", name}, args...)...)
}

// formatted is the check that gofumpt would change nothing.
func formatted(ctx context.Context, root string) (tally, error) {
	var files bytes.Buffer
	list := start(ctx, root, "git", "ls-files", "-co", "--exclude-standard", "*.go", ":!*.pb.go")
	list.Stdout = &files
	if err := list.Run(); err != nil {
		return one(fmt.Errorf("list files: %w", err))
	}
	args := []string{"tool", "-modfile=tools/dev/lint/go.mod", "gofumpt", "-l"}
	var wrong bytes.Buffer
	cmd := start(ctx, root, "go", append(args, existing(root, strings.Fields(files.String()))...)...)
	cmd.Stdout = io.MultiWriter(&wrong, os.Stdout)
	if err := cmd.Run(); err != nil {
		return one(err)
	}
	if wrong.Len() > 0 {
		return one(errors.New("gofumpt would change the files above"))
	}
	return one(nil)
}

// existing drops files that are deleted but still in git's index.
func existing(root string, files []string) []string {
	var there []string
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(root, file)); err == nil {
			there = append(there, file)
		}
	}
	return there
}

// closing is the last line of a program that counts its tests.
var closing = regexp.MustCompile(`(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$`)

// counted runs a program that prints a closing line. Failures that the
// program expected do not count when it succeeds.
func counted(name string, args ...string) func(context.Context, string) (tally, error) {
	return func(ctx context.Context, root string) (tally, error) {
		var last lastLine
		cmd := start(ctx, root, name, args...)
		cmd.Stdout = io.MultiWriter(os.Stdout, &last)
		err := cmd.Run()
		found := closing.FindStringSubmatch(last.text)
		if found == nil {
			return one(errors.Join(err, fmt.Errorf("%s did not end with its counts", name)))
		}
		var t tally
		t.passed, _ = strconv.Atoi(found[1])
		t.failed, _ = strconv.Atoi(found[2])
		t.skipped, _ = strconv.Atoi(found[3])
		if err == nil {
			t.skipped += t.failed
			t.failed = 0
		} else if t.failed == 0 {
			t.failed = 1
		}
		return t, err
	}
}

// lastLine keeps the last line, other than an empty one, that is written to it.
type lastLine struct {
	text    string
	partial string
}

// Write never fails.
func (l *lastLine) Write(p []byte) (int, error) {
	lines := strings.Split(l.partial+string(p), "\n")
	for _, line := range lines[:len(lines)-1] {
		if strings.TrimSpace(line) != "" {
			l.text = line
		}
	}
	l.partial = lines[len(lines)-1]
	return len(p), nil
}
