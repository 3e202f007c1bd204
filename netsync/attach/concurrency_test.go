package attach_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/netsync/attach"
	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
)

func TestRetryJoins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	unblock := b.dir.Block(t, "ADD")
	r := b.request()
	impatient, cancel := context.WithCancel(t.Context())
	first := b.background(impatient, r)
	b.dir.Await(t, "ADD", 1)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller gets %v", err)
	}
	second, third := b.background(t.Context(), r), b.background(t.Context(), r)
	unblock()
	if err := errors.Join(<-second, <-third); err != nil {
		t.Error(err)
	}
	if n := len(b.dir.Calls(t, "ADD")); n != 2 {
		t.Errorf("ADD ran %d times", n)
	}
}

func TestDetachCancelsAttach(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.dir.Block(t, "ADD")
	r := b.request()
	attaching := b.background(t.Context(), r)
	b.dir.Await(t, "ADD", 1)
	if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
		t.Error(err)
	}
	if err := <-attaching; !errdefs.IsAborted(err) {
		t.Errorf("attach says %v", err)
	}
	b.clean()
}

// TestSlowPodStallsOnlyItself has a pod whose ADD hangs beside one that comes
// and goes.
func TestSlowPodStallsOnlyItself(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	unblock := b.dir.Block(t, "ADD")
	slow := b.background(t.Context(), b.request())
	b.dir.Await(t, "ADD", 1)
	// The configuration is read anew meanwhile.
	quick := plugintest.Dir(t.TempDir())
	settings := b.plugin("one", "10.0.0.7/24")
	settings.Dir = string(quick)
	_, changed := b.configs.Watch()
	b.configure("10.conflist", plugintest.Conflist("1.1.0", "net", settings))
	<-changed
	r := b.request()
	result, err := b.Attach(t.Context(), r)
	if err != nil || result.IPs[0] != "10.0.0.7" {
		t.Errorf("a quick pod: %v, %v", result, err)
	}
	if err := b.Check(t.Context(), r.Pod.ID); err != nil {
		t.Error(err)
	}
	if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
		t.Error(err)
	}
	unblock()
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

func TestManyPods(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var group sync.WaitGroup
	for range 24 {
		group.Go(func() {
			r := b.request()
			for range 3 {
				var both sync.WaitGroup
				both.Go(func() { _, _ = b.Attach(t.Context(), r) })
				both.Go(func() { _, _ = b.Attach(t.Context(), r) })
				both.Go(func() { _ = b.Detach(t.Context(), r.Pod.ID) })
				both.Wait()
			}
			if err := b.Detach(t.Context(), r.Pod.ID); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b.clean()
}

func TestCrashAtEachStep(t *testing.T) {
	t.Parallel()
	for _, state := range []ledger.State{ledger.Intended, ledger.Detaching} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.attached()
			entry, err := b.ledger.Get(r.Pod.ID)
			if err != nil {
				t.Fatal(err)
			}
			broken := *entry
			broken.State = state
			if err := b.ledger.Put(t.Context(), &broken); err != nil {
				t.Fatal(err)
			}
			b.restart()
			plugintest.Eventually(t, "the leftover's end", func() bool { n, _ := b.ledger.Count(); return n == 0 })
			b.clean()
		})
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	kept, lost := b.attached(), b.attached()
	unblock := b.dir.Block(t, "ADD")
	r := b.request()
	starting := b.background(t.Context(), r)
	b.dir.Await(t, "ADD", 5)
	removed, err := b.Sweep(t.Context(), []string{kept.Pod.ID, ident.New()}, time.Now())
	if err != nil || !slices.Equal(removed, []string{lost.Pod.ID}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	unblock()
	if err := <-starting; err != nil {
		t.Errorf("an attachment that somebody waits for: %v", err)
	}
	if n, _ := b.ledger.Count(); n != 2 {
		t.Errorf("%d entries", n)
	}
	if _, err := b.Sweep(t.Context(), []string{"a/b"}, time.Now()); !errdefs.IsInvalidArgument(err) {
		t.Errorf("sweep of a path: %v", err)
	}
	if removed, err := b.Sweep(t.Context(), nil, time.Now().Add(-time.Hour)); err != nil || len(removed) != 0 {
		t.Errorf("attachments that the runtime could not know: removed %v, %v", removed, err)
	}
	if removed, err = b.Sweep(t.Context(), nil, time.Now()); err != nil || len(removed) != 2 {
		t.Errorf("removed %v, %v", removed, err)
	}
	b.clean()
}

// TestSweepSparesWhatIsNewer has the leftover of a pod undone and the pod
// attached anew while the sweep waits for its turn.
func TestSweepSparesWhatIsNewer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.attached()
	entry, err := b.ledger.Get(r.Pod.ID)
	if err != nil {
		t.Fatal(err)
	}
	older := *entry
	older.Started = entry.Started.Add(-time.Hour)
	if removed := b.Discard(t.Context(), &older); len(removed) != 0 {
		t.Errorf("removed %v", removed)
	}
	if n, _ := b.ledger.Count(); n != 1 || len(b.dir.Held(t)) != 2 {
		t.Errorf("%d entries, held %v", n, b.dir.Held(t))
	}
}

// TestSweepTakesOrphans has an attachment under way whose caller has died.
func TestSweepTakesOrphans(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.dir.Block(t, "ADD")
	ctx, cancel := context.WithCancel(t.Context())
	orphan := b.background(ctx, b.request())
	b.dir.Await(t, "ADD", 1)
	cancel()
	if err := <-orphan; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller gets %v", err)
	}
	if removed, err := b.Sweep(t.Context(), nil, time.Now()); err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
	b.clean()
}

func TestSweepTriesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *attach.Options) { o.GCInterval = 10 * time.Millisecond })
	b.attached()
	mend := b.dir.Fail(t, "DEL", types.NewError(100, "busy", ""))
	if removed, err := b.Sweep(t.Context(), nil, time.Now()); err != nil || len(removed) != 0 {
		t.Errorf("removed %v, %v", removed, err)
	}
	mend()
	plugintest.Eventually(t, "the collection of garbage", func() bool { n, _ := b.ledger.Count(); return n == 0 })
	b.clean()
}

// TestGCIsAlone has GC wait for ADD, and ADD push a GC that hangs aside.
func TestGCIsAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.attached()
	unblockAdd := b.dir.Block(t, "ADD")
	starting := b.background(t.Context(), b.request())
	b.dir.Await(t, "ADD", 3)
	if _, err := b.Sweep(t.Context(), []string{r.Pod.ID}, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.dir.Block(t, "GC")
	if n := len(b.dir.Calls(t, "GC")); n != 0 {
		t.Errorf("GC ran beside ADD")
	}
	unblockAdd()
	if err := <-starting; err != nil {
		t.Error(err)
	}
	b.dir.Await(t, "GC", 1)
	gc := string(b.dir.Calls(t, "GC")[0].Config)
	if !strings.Contains(gc, r.Pod.ID) || strings.Count(gc, `"containerID"`) != 4 { // under two names
		t.Errorf("GC got %s", gc)
	}
	begin := time.Now()
	b.attached()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("a pod waited %s for a GC that hangs", took)
	}
}

// TestGCKeepsToItsNetwork has a pod on another network than the one that is
// configured now, and one of which only the runtime knows.
func TestGCKeepsToItsNetwork(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.attached()
	b.configure("10.conflist", plugintest.Conflist("1.1.0", "new", b.plugin("one", "10.0.0.9/24")))
	b.restart()
	unknown := ident.New()
	if _, err := b.Sweep(t.Context(), []string{other.Pod.ID, unknown}, time.Now()); err != nil {
		t.Fatal(err)
	}
	b.dir.Await(t, "GC", 1)
	if gc := string(b.dir.Calls(t, "GC")[0].Config); strings.Contains(gc, other.Pod.ID) || !strings.Contains(gc, unknown) {
		t.Errorf("GC got %s", gc)
	}
}

func TestStopRefusesAndUndoes(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *attach.Options) { o.Grace = 400 * time.Millisecond })
	b.dir.Block(t, "ADD")
	starting := b.background(t.Context(), b.request())
	b.dir.Await(t, "ADD", 1)
	b.stop()
	if err := <-starting; !errdefs.IsUnavailable(err) {
		t.Errorf("attach says %v", err)
	}
	if held := b.dir.Held(t); len(held) != 0 {
		t.Errorf("plugins hold %v", held)
	}
	if _, err := b.Attach(t.Context(), b.request()); !errdefs.IsUnavailable(err) {
		t.Errorf("attach after the stop: %v", err)
	}
	b.start()
	b.clean()
}

// TestStopGivesUp has an undo that hangs: the ledger keeps it for the next start.
func TestStopGivesUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *attach.Options) { o.Grace = 400 * time.Millisecond })
	unblockAdd, unblockDel := b.dir.Block(t, "ADD"), b.dir.Block(t, "DEL")
	starting := b.background(t.Context(), b.request())
	b.dir.Await(t, "ADD", 1)
	begin := time.Now()
	b.stop()
	if took := time.Since(begin); took > b.options.DetachTimeout/2 {
		t.Errorf("the stop took %s", took)
	}
	if err := <-starting; err == nil || !strings.Contains(err.Error(), "tried again") {
		t.Errorf("attach says %v", err)
	}
	unblockAdd()
	unblockDel()
	b.start()
	plugintest.Eventually(t, "the leftover's end", func() bool { n, _ := b.ledger.Count(); return n == 0 })
	b.clean()
}
