package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tests/critest/verdict"
	"github.com/trivet-cri/trivet/tests/harness"
)

// suite runs critest and returns ginkgo's report. That tests failed is in the
// report; an error means that there is none. The seed makes the order of the
// tests.
func suite(ctx context.Context, opts *options, stage *harness.Stage, dir string, seed int) ([]byte, error) {
	report := filepath.Join(dir, "critest.json")
	endpoint := "unix://" + stage.CRI().Endpoint
	args := []string{
		"-runtime-endpoint", endpoint, "-image-endpoint", endpoint,
		"-config", filepath.Join(dir, "no-crictl.yaml"), // or the machine's own would be read
		"-report-dir", dir, "-ginkgo.json-report", report, "-ginkgo.no-color",
		"-ginkgo.seed", strconv.Itoa(seed),
	}
	if opts.parallel > 1 {
		args = append(args, "-parallel", strconv.Itoa(opts.parallel))
	}
	if opts.baseline { // Trivet has it as the default
		args = append(args, "-runtime-handler", opts.handler)
	}
	progress("running critest against " + endpoint)
	cmd := exec.CommandContext(ctx, stage.Lab.Critest, append(args, opts.rest...)...)
	// In parallel, critest runs ginkgo and that the processes with the tests:
	// all of them are one group. Told to end, ginkgo writes its report.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(stage.Lab.Critest)+":"+os.Getenv("PATH"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	ran := cmd.Run()
	if cmd.Process != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("critest left no report: %w", errors.Join(ran, err))
	}
	return text, nil
}

// judge prints the counts, last, with which run it was, and returns an error
// if the run is not as the list of expected failures says; without a file
// nothing is expected to fail.
func judge(report []byte, list, which string) error {
	results, err := verdict.ReadReport(report)
	if err != nil {
		return err
	}
	expected := verdict.Expected{}
	if list != "" {
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
	fmt.Printf("critest: %d passed, %d failed, %d skipped%s\n", verdict.Count(results, verdict.Passed),
		verdict.Count(results, verdict.Failed), verdict.Count(results, verdict.Skipped), which)
	if len(wrong) > 0 {
		return fmt.Errorf("%d tests did not end as expected", len(wrong))
	}
	if verdict.Count(results, verdict.Passed) == 0 {
		return errors.New("no test has passed")
	}
	return nil
}
