// Faults kills parts of Trivet at random instants under load and counts what
// was lost.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trivet-cri/trivet/tests/harness"
)

const usage = `usage: tools/faults NAME [FLAG...]

Kills a part of Trivet with SIGKILL at random instants, over and over, while
pods start and stop, containers write their logs and clients connect. Ends with
the line
  faults: N kills, N pods lost, N containers stopped, N log lines lost, N twice, N sessions dropped, N calls refused, N left behind
and succeeds if everything but the kills is 0.

names:
  runtime, streamer, netsync   that member
  launcher                     the launcher, which is then started again
  group                        all three members at the same instant
  log                          the streamer, while containers write flat out
  logs                         each of these in turn, and all at once with the
                               launcher, while containers write numbered lines flat
                               out and in pieces, to stdout, stderr and terminals;
                               no writer may pause for longer than a restart takes

  sessions                     runtime and netsync in turn, while 20 exec, 20 port-forward
                               and 10 attach sessions move checked data; then the
                               streamer, which must end its sessions

flags:
  --rotation HOW   with logs: none, kubelet (rename and ReopenContainerLog), own
                   (log_max_size) (default none)
  --kills N        how many kills (default 20)
  --seed N         seed of the instants (default: random, printed)
  --help           this text
`

// names are the kinds of faults.
var names = []string{"runtime", "streamer", "netsync", "launcher", "group", "log", "logs", "sessions"}

// options are the arguments.
type options struct {
	name     string
	kills    int
	seed     uint64
	rotation string
}

func main() {
	harness.Program[*options]{Name: "faults", Usage: usage, Parse: parse, Run: run}.Main()
}

func parse(args []string) (*options, error) {
	if len(args) == 0 {
		return nil, errors.New("which fault?")
	}
	opts := &options{name: args[0]}
	if opts.name == "--help" || opts.name == "-h" {
		return nil, flag.ErrHelp
	}
	if !slices.Contains(names, opts.name) {
		return nil, fmt.Errorf("no fault is called %q; there are %s", opts.name, strings.Join(names, ", "))
	}
	flags := flag.NewFlagSet(opts.name, flag.ContinueOnError)
	flags.Usage = func() {}
	flags.IntVar(&opts.kills, "kills", 20, "")
	flags.Uint64Var(&opts.seed, "seed", rand.Uint64(), "")
	flags.StringVar(&opts.rotation, "rotation", noRotation, "")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{noRotation, kubeletsOwn, pumpsOwn}, opts.rotation) {
		return nil, fmt.Errorf("--rotation: %q is none of none, kubelet and own", opts.rotation)
	}
	if flags.NArg() > 0 || opts.kills < 1 {
		return nil, errors.New("--kills must be positive, and nothing may follow the flags")
	}
	return opts, nil
}

func run(ctx context.Context, opts *options) error {
	return harness.OnStage(ctx, "faults", editFor(opts.rotation), func(stage *harness.Stage, dir string) error {
		attack := attackMembers
		switch opts.name {
		case "logs":
			attack = attackLogs
		case "sessions":
			attack = attackSessions
		}
		damage, err := attack(ctx, stage.Group, opts)
		if err != nil {
			return err
		}
		for _, note := range damage.notes {
			fmt.Println(note)
		}
		fmt.Println(damage)
		if damage.any() {
			return fmt.Errorf("something was lost; seed %d; log %s", opts.seed, filepath.Join(dir, "trivet", "trivet.log"))
		}
		return nil
	})
}
