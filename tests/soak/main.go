// Soak uses Trivet's streamer for long and sees that nothing is left of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/soak"
)

const usage = `usage: tools/soak [FLAG...]

Runs commands (mostly as probes do, some with streams, some that fail, some
whose client leaves), attaches and port-forward connections over SPDY and
WebSocket, and prints what the streamer held before and after: goroutines,
threads, descriptors, FIFOs, memory, sessions. Fails if it is not back.

flags:
  --execs N      commands (default 20000)
  --attaches N   (default 2000)
  --forwards N   connections, each in a session of its own (default 2000)
  --at-once N    of each that run at a time (default 8)
  --help         this text
`

func main() {
	amount, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err = run(ctx, amount)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (soak.Amount, error) {
	amount := soak.Amount{Progress: progress}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.Usage = func() {}
	flags.IntVar(&amount.Execs, "execs", 20000, "")
	flags.IntVar(&amount.Attaches, "attaches", 2000, "")
	flags.IntVar(&amount.Forwards, "forwards", 2000, "")
	flags.IntVar(&amount.AtOnce, "at-once", 8, "")
	if err := flags.Parse(args); err != nil {
		return amount, err
	}
	if flags.NArg() > 0 || min(amount.Execs, amount.Attaches, amount.Forwards) < 0 || amount.AtOnce < 1 {
		return amount, errors.New("numbers must not be negative, --at-once must be positive, and nothing may follow the flags")
	}
	return amount, nil
}

func run(ctx context.Context, amount soak.Amount) (err error) {
	dir, err := os.MkdirTemp("", "trivet-soak-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	progress("building the lab's parts")
	if err := harness.BuildLab(ctx, os.Stderr); err != nil {
		return err
	}
	stage, err := harness.StartStage(ctx, harness.StageOptions{
		Dir: dir, Progress: func(text string) { progress("%s", text) },
		Edit: func(c *config.Config) { c.Log.Level = "info" }, // as in production
	})
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, stage.Stop()); err != nil {
			progress("the logs are in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()
	if _, err := stage.CRI().Pull(ctx, harness.Busybox); err != nil {
		return err
	}
	before, after, err := soak.Run(ctx, stage.Group, amount)
	fmt.Printf("before: %v\nafter:  %v\n", before, after)
	return err
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
