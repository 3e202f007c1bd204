package pump_test

import (
	"os/exec"
	"testing"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// victim is a container that writes numbered lines while pumps, in processes
// of their own, are killed.
type victim struct {
	dir       string
	request   *streamerv1.OpenIORequest
	out, errs *shim
	stop      chan struct{}
	wrote     chan int
}

// newVictim opens the container, and begins to write when no pump runs.
func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{dir: t.TempDir(), request: request(t), stop: make(chan struct{}), wrote: make(chan int)}
	first := newPumps(t, v.dir)
	stopFirst := start(t, first)
	fifos := open(t, first, v.request)
	v.out, v.errs = openShim(t, fifos.GetStdout()), openShim(t, fifos.GetStderr())
	stopFirst()
	go func() { v.wrote <- lines(t, v.out, v.stop) }()
	return v
}

// pump starts a process that pumps.
func (v *victim) pump(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := role(t, "pump", append(env, "PUMP_TEST_DIR="+v.dir)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// end has the rest pumped, also to a log that is to be opened again, and
// returns how many lines were written.
func (v *victim) end(t *testing.T) int {
	t.Helper()
	last := newPumps(t, v.dir)
	start(t, last)
	if err := last.Reopen(t.Context(), v.request.GetContainer().GetId()); err != nil {
		t.Fatal(err)
	}
	close(v.stop)
	n := <-v.wrote
	mustEnd(t, last, v.request, v.out, v.errs)
	return n
}
