// Check runs all of the repository's tests, or some parts of them, and ends
// with a table and the line "N passed, N failed".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tests/harness"
)

const usage = `usage: tools/test [PART...]

Runs the tests, all parts or those that are named, and ends with a table and
the line "N passed, N failed". The exit status is 0 if nothing failed.

parts, in the order in which they run:
  lint       go vet, gofumpt, staticcheck, golangci-lint, buf lint, and whether
             the generated code is fresh
  unit       go test -race of every package
  bazel      bazel build //... and test //..., and whether the BUILD files are fresh
  contract   the contract suites against the real containerd
  e2e        end-to-end tests: a lab, a group, real containers
  critest    Kubernetes' CRI validation suite

  --help     this text

What is missing on the machine is installed or built on the first run.
`

func main() {
	parts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "test: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	if parts == nil {
		fmt.Print(usage)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err = run(ctx, parts)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "test: %v\n", err)
		os.Exit(1)
	}
}

// parse returns the parts to run; nil means that help was asked for.
func parse(args []string) ([]string, error) {
	if len(args) == 0 {
		return parts, nil
	}
	for _, arg := range args {
		if arg == "--help" || arg == "-h" {
			return nil, nil
		}
		if !slices.Contains(parts, arg) {
			return nil, fmt.Errorf("no part is called %q; the parts are %s", arg, strings.Join(parts, ", "))
		}
	}
	return args, nil
}

// outcome is what a step did.
type outcome struct {
	step
	tally
	took time.Duration
	err  error
}

func run(ctx context.Context, wanted []string) error {
	root, err := harness.Root()
	if err != nil {
		return err
	}
	steps, err := plan(root, wanted)
	if err != nil {
		return err
	}
	var outcomes []outcome
	for i, s := range steps {
		fmt.Printf("\n=== %d/%d %s: %s\n", i+1, len(steps), s.part, s.name)
		begun := time.Now()
		counted, err := s.run(ctx, root)
		took := time.Since(begun).Round(100 * time.Millisecond)
		if err != nil {
			fmt.Printf("=== FAILED after %s: %v\n", took, err)
		} else {
			fmt.Printf("=== ok, %s\n", took)
		}
		outcomes = append(outcomes, outcome{s, counted, took, err})
		if ctx.Err() != nil {
			break
		}
	}
	return summarize(outcomes, len(steps))
}

// summarize prints the table and the last line.
func summarize(outcomes []outcome, planned int) error {
	fmt.Printf("\n%-9s %-34s %8s %7s %7s %8s\n", "part", "step", "passed", "failed", "skipped", "time")
	var total tally
	for _, o := range outcomes {
		verdict := ""
		if o.err != nil {
			verdict = "  FAILED"
		}
		fmt.Printf("%-9s %-34s %8d %7d %7d %8s%s\n", o.part, o.name, o.passed, o.failed, o.skipped, o.took, verdict)
		total.add(o.tally)
	}
	fmt.Printf("\n%d passed, %d failed\n", total.passed, total.failed)
	switch {
	case len(outcomes) < planned:
		return errors.New("interrupted")
	case total.failed > 0:
		return fmt.Errorf("%d failed", total.failed)
	case total.passed == 0:
		return errors.New("nothing was tested")
	}
	return nil
}
