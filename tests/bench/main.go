// Bench measures Trivet beside containerd's built-in CRI plugin: same
// machine, same run, same runc, small batches in turn.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const usage = `usage: tools/bench SUITE [FLAG...]

Measures Trivet and containerd's built-in CRI plugin in the same lab and the
same run, in small batches that take turns, and prints for each figure the
median and the 95th percentile of both and the ratio of the medians (below 1
means that Trivet needs less), as a table and as JSON lines.

suites:
  start    RunPodSandbox, CreateContainer, StartContainer, pod ready (run,
           create, start, first log line), pod gone (stop and remove), and CPU
           time a pod, of everything (daemons, shims, runc, CNI plugins, the
           containers) and of the daemons alone

flags:
  --rounds N          batches of each side and concurrency (default 6)
  --pods N            pods in a batch for each that runs at a time, at least 4
                      in all (default 2)
  --concurrency LIST  how many pods start at a time (default 1,8)
  --json FILE         write the JSON lines to FILE too
  --help              this text
`

// options are the flags.
type options struct {
	rounds, pods int
	concurrency  []int
	json         string
}

func main() {
	opts, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n\n%s", err, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err = run(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	if len(args) == 0 {
		return nil, errors.New("which suite?")
	}
	suite := args[0]
	if suite == "--help" || suite == "-h" {
		return nil, flag.ErrHelp
	}
	if suite != "start" {
		return nil, fmt.Errorf("no suite is called %q", suite)
	}
	opts := &options{}
	flags := flag.NewFlagSet(suite, flag.ContinueOnError)
	flags.Usage = func() {}
	flags.IntVar(&opts.rounds, "rounds", 6, "")
	flags.IntVar(&opts.pods, "pods", 2, "")
	flags.StringVar(&opts.json, "json", "", "")
	list := flags.String("concurrency", "1,8", "")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, text := range strings.Split(*list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--concurrency: %q is not a positive number", text)
		}
		opts.concurrency = append(opts.concurrency, n)
	}
	if opts.rounds < 1 || opts.pods < 1 {
		return nil, errors.New("--rounds and --pods must be positive")
	}
	return opts, nil
}

func run(ctx context.Context, opts *options) (err error) {
	bench, err := openSides(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bench.close()) }()
	var figures []figure
	for _, concurrency := range opts.concurrency {
		measured, err := bench.start(ctx, concurrency, opts)
		if err != nil {
			return err
		}
		figures = append(figures, measured...)
	}
	return report(figures, opts.json)
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%s] %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
