// Demo shows Trivet at work on a machine that may be fresh: it installs and
// builds what is missing, runs a pod, talks to it, kills a process under it,
// and cleans up.
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
)

const usage = `usage: tools/demo [--keep] [--kill MEMBER]

Shows Trivet at work: builds everything, starts containerd, Jaeger and Trivet,
pulls an image, runs a pod, prints its log, runs commands in it on a terminal,
forwards a port, kills one of Trivet's processes under it, shows the trace of
the pod's start, and cleans up. Needs root. The first run takes ten to fifteen
minutes, nearly all of it to build containerd, Jaeger and the other parts.

  --keep         leave it running at the end, print the commands to play with
                 it, and clean up on Ctrl-C
  --kill MEMBER  kill runtime (the default), streamer or netsync
  --help         this text
`

func main() {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.Usage = func() { fmt.Print(usage) }
	keep := flags.Bool("keep", false, "")
	member := flags.String("kill", "runtime", "")
	if err := flags.Parse(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		os.Exit(2)
	}
	if flags.NArg() > 0 || (*member != "runtime" && *member != "streamer" && *member != "netsync") {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument\n\n%s", usage)
		os.Exit(2)
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "demo: containers need root; run it as root")
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := run(ctx, *member, *keep)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// run is the whole demonstration. Whatever was started is ended, also when a
// step fails or the user interrupts.
func run(ctx context.Context, member string, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "trivet-demo-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	show := &show{begun: time.Now()}
	d := &demo{show: show, dir: dir, member: member}
	defer func() {
		err = errors.Join(err, d.cleanUp(err == nil))
	}()
	if err := d.setUp(ctx); err != nil {
		return err
	}
	if err := d.perform(ctx); err != nil {
		return err
	}
	if keep {
		d.printPlayground()
		<-ctx.Done()
	}
	return nil
}
