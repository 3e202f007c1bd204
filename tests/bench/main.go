// Bench measures Trivet beside containerd's built-in CRI plugin: same
// machine, same run, same runc, small batches in turn.
package main

import (
	"context"
	"errors"

	"github.com/trivet-cri/trivet/tests/harness"
)

const usage = `usage: tools/bench SUITE [FLAG...]

Measures Trivet and containerd's built-in CRI plugin in the same lab and the
same run, in small batches that take turns, and prints for each figure the
median and the 95th percentile of both and the ratio of the medians (of times,
below 1 means that Trivet needs less), as a table and as JSON lines.

suites:
  start    RunPodSandbox, CreateContainer, StartContainer, pod ready (run,
           create, start, first log line), pod gone (stop and remove), and CPU
           time a pod, of everything (daemons, shims, runc, CNI plugins, the
           containers) and of the daemons alone
  exec     ExecSync of true in one container, and the probes of many: one a
           second and container
  stream   exec over SPDY and over WebSocket, and port-forward, both ways:
           throughput; and how long a forwarded connection takes to its first
           byte
  logs     containers that write lines of 100 bytes as fast as they are read:
           throughput, from the first write to the last line in the log, and CPU
           time for each GiB, of daemons and shims, and of the daemons alone
  memory   Trivet alone: resident memory of streamer with idle containers, and
           with attached clients that stop reading what a container writes

flags:
  --rounds N          batches of each side and concurrency (default 6)
  --handler NAME      runtime handler of the pods: runc or crun (default runc)
  --json FILE         write the JSON lines to FILE too
  --quick             few rounds of small sizes, to try out (flags after it win)
  --help              this text
of start, exec and logs:
  --concurrency LIST  how many pods, commands or writers at a time (default 1,8)
of start:
  --pods N            pods in a batch for each that runs at a time, at least 4
                      in all (default 2)
of exec:
  --commands N        commands in a batch for each that runs at a time (default 40)
  --containers N      that have a probe (default 100)
  --seconds N         of probing in a batch (default 20)
of stream:
  --mib N             of a transfer (default 512)
  --connections N     forwarded ones in a batch (default 200)
of logs:
  --mib N             that the containers of a batch write (default 256)
of memory:
  --containers N      that are idle (default 500)
`

func main() {
	harness.Program[*options]{Name: "bench", Usage: usage, Parse: parse, Run: run}.Main()
}

func run(ctx context.Context, opts *options) (err error) {
	if opts.suite == alone {
		return memory(ctx, opts)
	}
	bench, err := openSides(ctx, opts.handler)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bench.close()) }()
	measured, err := suites[opts.suite](bench, ctx, opts)
	return errors.Join(err, report(measured, opts.json))
}
