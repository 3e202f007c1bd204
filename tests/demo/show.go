package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// show writes the steps to the screen.
type show struct {
	begun  time.Time
	number int
}

// step announces a step, runs it and tells how long it took.
func (s *show) step(title string, do func() error) error {
	s.number++
	fmt.Printf("\n%2d. %s\n", s.number, title)
	begun := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("step %d, %s: %w", s.number, title, err)
	}
	fmt.Printf("    ✓ %.1f s\n", time.Since(begun).Seconds())
	return nil
}

// say prints text under the step, indented.
func (s *show) say(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	for line := range strings.Lines(text) {
		fmt.Printf("    %s\n", strings.TrimRight(line, "\r\n"))
	}
}

// indented passes on what is written to it, each line indented.
type indented struct{ middle bool }

// Write never fails.
func (w *indented) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if !w.middle {
			_, _ = os.Stdout.WriteString("    ")
		}
		_, _ = os.Stdout.WriteString(line)
		w.middle = !strings.HasSuffix(line, "\n")
	}
	return len(p), nil
}
