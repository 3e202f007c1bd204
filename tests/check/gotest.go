package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// goTest runs go test in a directory of the repository and counts tests:
// functions and subtests that have none below them.
func goTest(dir string, args ...string) func(context.Context, string) (tally, error) {
	return func(ctx context.Context, root string) (tally, error) {
		cmd := start(ctx, root, "go", append([]string{"-C", dir, "test", "-json"}, args...)...)
		cmd.Stdout = nil
		out, err := cmd.StdoutPipe()
		if err != nil {
			return one(err)
		}
		if err := cmd.Start(); err != nil {
			return one(err)
		}
		counted, scanErr := watch(out)
		err = errors.Join(cmd.Wait(), scanErr)
		if err != nil && counted.failed == 0 {
			counted.failed = 1 // a package that does not build, a timeout, a panic
		}
		return counted, err
	}
}

// watcher follows a test run.
type watcher struct {
	tally
	output  map[string][]string // of unfinished tests and packages
	parents map[string]bool     // tests that have subtests
}

// watch reads events to their end, prints one line a package, and the output
// of what failed.
func watch(events io.Reader) (tally, error) {
	w := &watcher{output: make(map[string][]string), parents: make(map[string]bool)}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				w.see(e)
			} else {
				fmt.Printf("%s", line) // the go command itself speaks
			}
		}
		if errors.Is(err, io.EOF) {
			return w.tally, nil
		}
		if err != nil {
			return w.tally, fmt.Errorf("read test events: %w", err)
		}
	}
}

func (w *watcher) see(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "run":
		if i := strings.LastIndex(e.Test, "/"); i > 0 {
			w.parents[e.Package+" "+e.Test[:i]] = true
		}
	case "output", "build-output":
		if e.Action == "build-output" {
			fmt.Print(e.Output)
		}
		w.output[key] = append(w.output[key], e.Output)
	case "pass", "skip":
		w.ended(e, key)
	case "fail":
		for _, line := range w.output[key] {
			fmt.Print(line)
		}
		w.ended(e, key)
	}
}

func (w *watcher) ended(e event, key string) {
	delete(w.output, key)
	if e.Test == "" {
		if e.Action != "skip" { // a package without tests
			fmt.Printf("%-5s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
		}
		return
	}
	if w.parents[key] && e.Action == "pass" {
		return
	}
	switch e.Action {
	case "pass":
		w.passed++
	case "fail":
		if !w.parents[key] {
			w.failed++
		}
	case "skip":
		w.skipped++
	}
}
