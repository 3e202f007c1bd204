// Package verdict reads the report of a critest run and judges it against
// the list of tests that are known to fail.
//
// The list may only shrink: a failure that is not on it fails the run, and
// so does a test on it that passes, until it is struck.
package verdict

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Result is one test of a run.
type Result struct {
	Name    string // the texts of its containers and its own, joined
	State   State
	Message string // why it failed or was skipped
	Seconds float64
}

// State is how a test ended.
type State string

// The states. A test that a filter has left out of the run has none: it is no result.
const (
	Passed  State = "passed"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// suite is a suite in ginkgo's JSON report, as far as it is read.
type suite struct {
	SpecReports []struct {
		ContainerHierarchyTexts []string
		LeafNodeType            string
		LeafNodeText            string
		State                   string
		RunTime                 float64 // nanoseconds
		Failure                 struct{ Message string }
	}
	SpecialSuiteFailureReasons []string
}

// ReadReport reads ginkgo's JSON report.
func ReadReport(text []byte) ([]Result, error) {
	var suites []suite
	if err := json.Unmarshal(text, &suites); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	var results []Result
	for _, s := range suites {
		for _, spec := range s.SpecReports {
			result := Result{
				Name:    strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), " "),
				Message: spec.Failure.Message, Seconds: spec.RunTime / 1e9,
			}
			if spec.LeafNodeType != "It" { // setup of the suite: only its failure is of interest
				result.Name = strings.TrimSpace("[" + spec.LeafNodeType + "] " + result.Name)
			}
			switch {
			case spec.State == "passed" && spec.LeafNodeType == "It":
				result.State = Passed
			case spec.State == "skipped" && spec.LeafNodeType == "It" && spec.Failure.Message != "":
				result.State = Skipped
			case spec.State == "passed", spec.State == "skipped", spec.State == "pending":
				continue
			default: // failed, panicked, interrupted, aborted, timedout
				result.State = Failed
			}
			results = append(results, result)
		}
		for _, reason := range s.SpecialSuiteFailureReasons {
			if reason != "Suite Failed" { // the failed tests say that themselves
				results = append(results, Result{Name: "[suite]", State: Failed, Message: reason})
			}
		}
	}
	return results, nil
}

// Count returns how many results are in a state.
func Count(results []Result, state State) int {
	n := 0
	for _, r := range results {
		if r.State == state {
			n++
		}
	}
	return n
}
