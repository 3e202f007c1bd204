package jaeger

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Roots are the spans without a parent in the trace: one, when every
// process has passed the context on and exported its spans.
func (t Trace) Roots() []Span {
	known := make(map[string]bool, len(t.Spans))
	for _, s := range t.Spans {
		known[s.ID] = true
	}
	var roots []Span
	for _, s := range t.Spans {
		if !known[s.Parent] {
			roots = append(roots, s)
		}
	}
	return roots
}

// Span returns the span with an id.
func (t Trace) Span(id string) (Span, bool) {
	for _, s := range t.Spans {
		if s.ID == id {
			return s, true
		}
	}
	return Span{}, false
}

// Services are the names of the services that have spans in the trace.
func (t Trace) Services() map[string]int {
	count := make(map[string]int)
	for _, s := range t.Spans {
		count[s.Service]++
	}
	return count
}

// nameWidth is the column, in characters, where the figures begin.
const nameWidth = 74

// WriteTree writes the trace as an indented tree: for each span its duration
// and when it began after the root, in milliseconds.
func (t Trace) WriteTree(w io.Writer) error {
	children := make(map[string][]Span)
	for _, s := range t.Spans {
		children[s.Parent] = append(children[s.Parent], s)
	}
	tree := writer{w: w, children: children}
	tree.printf("%-*s %9s %9s\n", nameWidth, "trace "+t.ID, "begins ms", "takes ms")
	for _, root := range t.Roots() {
		tree.origin = root.Start
		tree.span(root, "", "")
	}
	return tree.err
}

// writer keeps the first error.
type writer struct {
	w        io.Writer
	err      error
	origin   time.Time
	children map[string][]Span
}

func (t *writer) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

func (t *writer) span(s Span, first, rest string) {
	name := first + s.Service + "  " + strings.TrimPrefix(s.Operation, "/")
	if over := utf8.RuneCountInString(name) - nameWidth; over > 0 {
		runes := []rune(name)
		name = string(runes[:nameWidth-1]) + "…"
	}
	t.printf("%-*s %9.1f %9.1f\n", nameWidth, name, milliseconds(s.Start.Sub(t.origin)), milliseconds(s.Duration))
	for i, child := range t.children[s.ID] {
		if i < len(t.children[s.ID])-1 {
			t.span(child, rest+"├─ ", rest+"│  ")
		} else {
			t.span(child, rest+"└─ ", rest+"   ")
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
