// Soak uses Trivet's streamer for long and sees that nothing is left of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

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
	harness.Program[soak.Amount]{Name: "soak", Usage: usage, Parse: parse, Run: run}.Main()
}

func parse(args []string) (soak.Amount, error) {
	amount := soak.Amount{Progress: harness.Progress}
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

func run(ctx context.Context, amount soak.Amount) error {
	return harness.OnStage(ctx, "soak", harness.AsInProduction, func(stage *harness.Stage, _ string) error {
		before, after, err := soak.Run(ctx, stage.Group, amount)
		fmt.Printf("before: %v\nafter:  %v\n", before, after)
		return err
	})
}
