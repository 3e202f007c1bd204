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

// figure compares both sides.
type figure struct {
	Suite       string  `json:"suite"`
	Name        string  `json:"figure"`
	Concurrency int     `json:"concurrency"`
	Unit        string  `json:"unit"`
	Trivet      summary `json:"trivet"`
	BuiltIn     summary `json:"built_in"`
	// Ratio is Trivet's median over the built-in plugin's.
	Ratio float64 `json:"ratio"`
	// Goal is the ratio that Trivet is to reach; 0 for none.
	Goal float64 `json:"goal,omitempty"`
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
func compare(name string, concurrency int, goal float64, trivet, builtIn []float64) figure {
	f := figure{
		Suite: "start", Name: name, Concurrency: concurrency, Unit: "ms", Goal: goal,
		Trivet: summarize(trivet), BuiltIn: summarize(builtIn),
	}
	if f.BuiltIn.Median > 0 {
		f.Ratio = f.Trivet.Median / f.BuiltIn.Median
	}
	return f
}

// report prints the table and the JSON lines.
func report(figures []figure, file string) error {
	fmt.Printf("\n%-26s %4s %21s %21s %7s %6s\n", "", "con-", "Trivet", "built-in plugin", "ratio", "goal")
	fmt.Printf("%-26s %4s %10s %10s %10s %10s\n", "figure, ms", "curr", "median", "p95", "median", "p95")
	for _, f := range figures {
		goal := ""
		if f.Goal > 0 {
			goal = fmt.Sprintf("%6.2f", f.Goal)
			if f.Ratio > f.Goal {
				goal += " missed"
			}
		}
		fmt.Printf("%-26s %4d %10.1f %10.1f %10.1f %10.1f %7.3f %s\n", f.Name, f.Concurrency,
			f.Trivet.Median, f.Trivet.P95, f.BuiltIn.Median, f.BuiltIn.P95, f.Ratio, goal)
	}
	fmt.Println()
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

func writeLines(w io.Writer, figures []figure) error {
	encoder := json.NewEncoder(w)
	for _, f := range figures {
		if err := encoder.Encode(f); err != nil {
			return fmt.Errorf("write figures: %w", err)
		}
	}
	return nil
}
