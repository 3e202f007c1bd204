package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// summary describes the samples of one side.
type summary struct {
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	N      int     `json:"n"`
}

// row is a line of the table before it is measured.
type row struct {
	Name string `json:"figure"`
	Unit string `json:"unit"`
	// Goal is the ratio that Trivet is to reach: at most, or if More is better, at least; 0 for none.
	Goal float64 `json:"goal,omitempty"`
	More bool    `json:"more_is_better,omitempty"`
	// Tail compares the 95th percentiles instead of the medians.
	Tail bool `json:"p95_compared,omitempty"`
	// Of names the samples, unless they are called as the row.
	Of string `json:"-"`
}

// figure compares both sides.
type figure struct {
	Suite string `json:"suite"`
	row
	Concurrency int     `json:"concurrency"`
	Trivet      summary `json:"trivet"`
	BuiltIn     summary `json:"built_in"`
	// Ratio is Trivet's figure over the built-in plugin's.
	Ratio float64 `json:"ratio"`
}

// summarize sorts its argument.
func summarize(samples []float64) summary {
	slices.Sort(samples)
	return summary{Median: quantile(samples, 0.5), P95: quantile(samples, 0.95), N: len(samples)}
}

// quantile interpolates between the neighbours in sorted samples.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// compare makes a figure of both sides' samples.
func compare(r row, trivet, builtIn []float64) figure {
	f := figure{row: r, Trivet: summarize(trivet), BuiltIn: summarize(builtIn)}
	ours, theirs := f.Trivet.Median, f.BuiltIn.Median
	if r.Tail {
		ours, theirs = f.Trivet.P95, f.BuiltIn.P95
	}
	if theirs > 0 {
		f.Ratio = ours / theirs
	}
	return f
}

// missed tells whether the figure has a goal and does not reach it.
func (f figure) missed() bool {
	return f.Goal > 0 && (f.More && f.Ratio < f.Goal || !f.More && f.Ratio > f.Goal)
}

// target is the goal as the table shows it.
func (f figure) target() string {
	if f.Goal == 0 {
		return ""
	}
	sign, verdict := "<=", ""
	if f.More {
		sign = ">="
	}
	if f.missed() {
		verdict = " missed"
	}
	return fmt.Sprintf("%s %.2f%s", sign, f.Goal, verdict)
}

// report prints the table and the JSON lines.
func report(figures []figure, file string) error {
	fmt.Printf("\n%-34s %5s %4s %21s %21s\n", "", "", "con-", "Trivet", "built-in plugin")
	fmt.Printf("%-34s %5s %4s %10s %10s %10s %10s %7s  %s\n", "figure", "unit", "curr", "median", "p95", "median", "p95", "ratio", "goal")
	for _, f := range figures {
		fmt.Printf("%-34s %5s %4d %10.1f %10.1f %10.1f %10.1f %7.3f  %s\n", f.Name, f.Unit, f.Concurrency,
			f.Trivet.Median, f.Trivet.P95, f.BuiltIn.Median, f.BuiltIn.P95, f.Ratio, f.target())
	}
	fmt.Println()
	return writeAll(figures, file)
}

// writeAll prints JSON lines, and writes them to a file too if it has a name.
func writeAll[T any](figures []T, file string) error {
	if err := writeLines(os.Stdout, figures); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return errors.Join(writeLines(out, figures), out.Close())
}

func writeLines[T any](w io.Writer, figures []T) error {
	encoder := json.NewEncoder(w)
	for _, f := range figures {
		if err := encoder.Encode(f); err != nil {
			return fmt.Errorf("write figures: %w", err)
		}
	}
	return nil
}
