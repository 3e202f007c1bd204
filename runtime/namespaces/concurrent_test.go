package namespaces_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/namespaces"
)

// everything is a request for all namespaces.
func everything(id string, user bool) namespaces.Request {
	r := namespaces.Request{ID: id, Net: true, IPC: true, UTS: true, Hostname: "web-0", UnprivilegedPorts: true, UnprivilegedICMP: true}
	if user {
		r.UIDs, r.GIDs = ids(200000), ids(300000)
	}
	return r
}

// Many pods at once get namespaces of their own, and no thread stays in one.
func TestConcurrentCreates(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	const pods = 64
	paths := make([]namespaces.Paths, pods)
	names := make([]string, pods)
	var all errgroup.Group
	start := time.Now()
	for i := range pods {
		all.Go(func() (err error) {
			names[i] = ident.New()
			paths[i], err = pins.Create(t.Context(), everything(names[i], i%2 == 1))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d creates in %v", pods, time.Since(start))
	seen := make(map[uint64]bool)
	for i, p := range paths {
		for _, path := range []string{p.Net, p.IPC, p.UTS, p.User} {
			if (path == "") != (path == p.User && i%2 == 0) {
				t.Errorf("pod %d has %+v", i, p)
			}
			if path != "" {
				seen[inode(t, path)] = true
			}
		}
	}
	if want := pods*3 + pods/2; len(seen) != want {
		t.Errorf("%d namespaces, want %d", len(seen), want)
	}
	noThreadIn(t, seen)
	list, err := pins.List()
	slices.Sort(names)
	if err != nil || !slices.Equal(list, names) {
		t.Errorf("List = %v, %v; want %v", list, err, names)
	}
	for _, id := range names {
		all.Go(func() error { return pins.Remove(t.Context(), id) })
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	wantNothing(t, dir)
}

// noThreadIn waits until no thread of this process is in one of them.
func noThreadIn(t *testing.T, inodes map[uint64]bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		inside := 0
		for _, kind := range []string{"net", "ipc", "uts"} {
			threads, err := filepath.Glob("/proc/self/task/*/ns/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			for _, thread := range threads {
				link, err := os.Readlink(thread)
				var found uint64
				if _, scanErr := fmt.Sscanf(link, kind+":[%d]", &found); err == nil && scanErr == nil && inodes[found] {
					inside++
				}
			}
		}
		if inside == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d threads are in pods' namespaces", inside)
		}
	}
}

// Of many that want the same pod, one gets it.
func TestCreateSamePod(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	id := ident.New()
	results := make(chan error, 8)
	var all errgroup.Group
	for range cap(results) {
		all.Go(func() error {
			_, err := pins.Create(t.Context(), everything(id, false))
			results <- err
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	close(results)
	made := 0
	for err := range results {
		if err == nil {
			made++
		} else if !errdefs.IsAlreadyExists(err) {
			t.Errorf("error %v", err)
		}
	}
	if _, alive, err := pins.Paths(id); made != 1 || !alive || err != nil {
		t.Errorf("%d were made; alive %t, %v", made, alive, err)
	}
	if err := pins.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, dir)
}

// When the caller stops waiting at any moment, it has either a pod or nothing.
func TestCreateAbandoned(t *testing.T) {
	t.Parallel()
	for _, user := range []bool{false, true} {
		t.Run(fmt.Sprintf("user=%t", user), func(t *testing.T) {
			t.Parallel()
			pins, dir := newPins(t)
			gaveUp := 0
			for wait := time.Duration(0); ; wait += 50 * time.Microsecond {
				id := ident.New()
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				_, err := pins.Create(ctx, everything(id, user))
				cancel()
				pins.Close() // waits for what goes on
				if err == nil {
					if _, alive, err := pins.Paths(id); !alive || err != nil {
						t.Errorf("alive %t, %v", alive, err)
					}
					if err := pins.Remove(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					wantNothing(t, dir)
					break
				}
				gaveUp++
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				wantNothing(t, dir)
			}
			if gaveUp == 0 {
				t.Error("never gave up")
			}
		})
	}
}

// lastMoment is a context that ends just when Create takes its last step,
// which then succeeds although the caller has gone.
type lastMoment struct {
	context.Context
	looks        atomic.Int32
	before       int32
	ended, heard chan struct{}
}

func (c *lastMoment) Done() <-chan struct{} { return c.ended }

func (c *lastMoment) Err() error {
	switch looks := c.looks.Add(1); {
	case looks < c.before:
		return nil
	case looks == c.before:
		close(c.ended)
		<-c.heard
		return nil
	case looks == c.before+1:
		close(c.heard)
	}
	return context.DeadlineExceeded
}

func TestCreateAbandonedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	ctx := &lastMoment{Context: t.Context(), before: 8, ended: make(chan struct{}), heard: make(chan struct{})}
	id := ident.New()
	if _, err := pins.Create(ctx, everything(id, false)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	pins.Close()
	wantNothing(t, dir)
}
