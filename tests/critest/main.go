// Critest runs Kubernetes' CRI validation suite against Trivet, or against
// containerd's built-in plugin, in a lab of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tests/critest/verdict"
	"github.com/trivet-cri/trivet/tests/harness"
)

const usage = `usage: tools/critest [--baseline] [--dir DIR] [CRITEST FLAG...]

Runs Kubernetes' CRI validation suite (critest) against Trivet in a lab of its
own, which is built on the first run, and ends with the line
  critest: N passed, N failed, N skipped
A test that fails and is not in tests/critest/expected-failures.txt fails the
run, and so does a test in that list that passes.

  --baseline   run against containerd's built-in CRI plugin, without the list
  --dir DIR    keep the report and all logs in DIR (default: a directory under
               /tmp that is removed unless the run fails)
  --help       this text

Every other flag is critest's own, for example
  tools/critest -ginkgo.focus='exec' -ginkgo.v
  tools/critest -websocket-exec -websocket-attach -websocket-portforward
`

// options are the program's own flags; the rest is critest's.
type options struct {
	baseline bool
	dir      string
	rest     []string
}

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

// parse separates the program's own flags; nil means that help was asked for.
func parse(args []string) (*options, error) {
	opts := &options{}
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch {
		case name == "help" || name == "h":
			return nil, nil
		case name == "baseline":
			opts.baseline = true
		case name == "dir":
			if !given {
				if i++; i == len(args) {
					return nil, errors.New("--dir needs a directory")
				}
				value = args[i]
			}
			opts.dir = value
		case args[i] == "--":
		case !strings.HasPrefix(args[i], "-"):
			return nil, fmt.Errorf("unexpected argument %q", args[i])
		default:
			opts.rest = append(opts.rest, args[i])
		}
	}
	return opts, nil
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
	stage, err := harness.StartStage(ctx, harness.StageOptions{Dir: dir, Baseline: opts.baseline, Progress: progress})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Stop()) }()
	report, err := suite(ctx, stage, dir, opts.rest)
	if err != nil {
		return err
	}
	return judge(report, filepath.Join(root, "tests/critest/expected-failures.txt"), opts.baseline)
}

// suite runs critest and returns ginkgo's report. That tests failed is in the
// report; an error means that there is none.
func suite(ctx context.Context, stage *harness.Stage, dir string, flags []string) ([]byte, error) {
	report := filepath.Join(dir, "critest.json")
	endpoint := "unix://" + stage.CRI().Endpoint
	args := append([]string{
		"-runtime-endpoint", endpoint, "-image-endpoint", endpoint,
		"-config", filepath.Join(dir, "no-crictl.yaml"), // or the machine's own would be read
		"-report-dir", dir, "-ginkgo.json-report", report, "-ginkgo.no-color", "-ginkgo.seed=1",
	}, flags...)
	progress("running critest against " + endpoint)
	cmd := exec.CommandContext(ctx, stage.Lab.Critest, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGINT) } // ginkgo writes its report then
	cmd.WaitDelay = 30 * time.Second
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	ran := cmd.Run()
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("critest left no report: %w", errors.Join(ran, err))
	}
	return text, nil
}

// judge prints the counts, last, and returns an error if the run is not as
// the list of expected failures says.
func judge(report []byte, list string, baseline bool) error {
	results, err := verdict.ReadReport(report)
	if err != nil {
		return err
	}
	expected := verdict.Expected{}
	if !baseline {
		text, err := os.ReadFile(list)
		if err != nil {
			return fmt.Errorf("expected failures: %w", err)
		}
		if expected, err = verdict.ReadExpected(text); err != nil {
			return err
		}
	}
	wrong := expected.Judge(results)
	for _, line := range wrong {
		fmt.Println(line)
	}
	fmt.Printf("critest: %d passed, %d failed, %d skipped\n",
		verdict.Count(results, verdict.Passed), verdict.Count(results, verdict.Failed), verdict.Count(results, verdict.Skipped))
	if len(wrong) > 0 {
		return fmt.Errorf("%d tests did not end as expected", len(wrong))
	}
	if verdict.Count(results, verdict.Passed) == 0 {
		return errors.New("no test has passed")
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
