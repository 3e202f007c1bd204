//go:build e2e

package e2e_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// flood is what the container of TestSlowAttach writes, in bytes without the
// last two lines. It is more than a queue and the sockets' buffers hold.
const flood = 400 << 16

// gate lets writes through when it is open.
type gate struct{ open, entered chan struct{} }

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.open
	return len(p), nil
}

// tally counts what is written.
type tally struct{ n atomic.Int64 }

func (c *tally) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// TestSlowAttach attaches many clients to one container. One of them reads
// nothing: it is cut off and learns why, the others and the log get everything.
func TestSlowAttach(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			ctx := limit(t, 2*time.Minute)
			container := need(runPod(t, stage.CRI(), "slow").Run(ctx, "main", harness.Shell(
				"echo ready; while [ ! -e /tmp/go ]; do echo .; sleep 0.1; done; for i in $(seq 400); do head -c 65536 /dev/zero | tr '\\0' x; sleep 0.01; done; echo; echo over; read x < /tmp/go; exit 0")))(t)
			ok(t, container.AwaitLog(ctx, "ready"))
			attach := func(out io.Writer) chan error {
				url := need(container.AttachURL(ctx, false, false))(t)
				result := make(chan error, 1)
				go func() {
					_, err := stream.Session{Transport: transport, URL: url, Stdout: out, Stderr: io.Discard}.Run(ctx)
					result <- err
				}()
				return result
			}
			slow := &gate{make(chan struct{}), make(chan struct{}, 1)}
			slowResult := attach(slow)
			var fast [8]tally
			var results []chan error
			for i := range fast {
				results = append(results, attach(&fast[i]))
			}
			<-slow.entered
			ok(t, harness.Wait(ctx, "all clients", func(context.Context) error { return anyWithout(fast[:]) }))
			need(container.Output(ctx, "touch /tmp/go"))(t)
			ok(t, container.AwaitLog(ctx, "over"))
			close(slow.open)
			says(t, <-slowResult, "behind the container's output")
			for i, result := range results {
				if err := <-result; err != nil || fast[i].n.Load() < flood {
					t.Errorf("client %d got %d bytes, error %v", i, fast[i].n.Load(), err)
				}
			}
		})
	}
}

// anyWithout is an error as long as a client has seen nothing.
func anyWithout(clients []tally) error {
	for i := range clients {
		if clients[i].n.Load() == 0 {
			return io.ErrNoProgress
		}
	}
	return nil
}
