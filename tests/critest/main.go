// Critest runs Kubernetes' CRI validation suite against Trivet, or against
// containerd's built-in plugin, in a lab of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

func main() {
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "critest: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	if opts == nil {
		fmt.Print(usage)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err = run(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "critest: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, opts *options) (err error) {
	root, err := harness.Root()
	if err != nil {
		return err
	}
	dir, done, err := workDir(opts.dir)
	if err != nil {
		return err
	}
	defer func() { done(err) }()
	progress("building the lab's parts")
	if err := harness.BuildLab(ctx, os.Stderr); err != nil {
		return err
	}
	stage, err := harness.StartStage(ctx, harness.StageOptions{
		Dir: dir, Baseline: opts.baseline, Progress: progress,
		Edit: func(c *config.Config) { c.Runtime.DefaultHandler = opts.handler },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Stop()) }()
	list := filepath.Join(root, "tests/critest/expected-failures.txt")
	if opts.baseline {
		list = ""
	}
	return series(ctx, opts, stage, dir, list)
}

// series makes the runs, one after another on the same stage. A bad one does
// not keep the rest from being made.
func series(ctx context.Context, opts *options, stage *harness.Stage, dir, list string) error {
	bad := 0
	for n := 1; n <= opts.repeat; n++ {
		begun, place, which := time.Now(), dir, ""
		if opts.repeat > 1 {
			place = filepath.Join(dir, fmt.Sprintf("run-%d", n))
			if err := os.MkdirAll(place, 0o755); err != nil {
				return fmt.Errorf("make directory of a run: %w", err)
			}
		}
		report, err := suite(ctx, opts, stage, place, n)
		if err != nil {
			return err
		}
		if opts.repeat > 1 {
			which = fmt.Sprintf(" (run %d of %d, %s)", n, opts.repeat, time.Since(begun).Round(time.Second))
		}
		switch err := judge(report, list, which); {
		case err != nil && opts.repeat == 1:
			return err
		case err != nil:
			bad++
			progress(err.Error())
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d runs did not end as expected", bad, opts.repeat)
	}
	return nil
}

// workDir returns the directory of the run and what to do with it at the end.
func workDir(asked string) (string, func(error), error) {
	if asked != "" {
		dir, err := filepath.Abs(asked)
		return dir, func(error) {}, errors.Join(err, os.MkdirAll(dir, 0o755))
	}
	dir, err := os.MkdirTemp("", "trivet-critest-")
	if err != nil {
		return "", nil, fmt.Errorf("make directory: %w", err)
	}
	// Roots of user namespaces must get through to their containers' files.
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", nil, fmt.Errorf("make directory: %w", err)
	}
	return dir, func(failed error) {
		if failed != nil {
			progress("the logs are in " + dir)
			return
		}
		_ = os.RemoveAll(dir)
	}, nil
}

func progress(text string) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), text)
}
