package exec_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/streamer/exec"
)

// spares are the pairs of FIFOs that the fixture keeps.
func (f *fixture) spares(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(f.dir, "*", "spare", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestPairsAreUsedAgain: commands that end before anybody polls need one pair,
// and see nothing of each other.
func TestPairsAreUsedAgain(t *testing.T) {
	t.Parallel()
	f := start(t, limits)
	var last string
	used := make(map[uint64]int) // by the pair's inode
	eventually(t, "a pair is used again", func() error {
		out, failed := rand.Text(), rand.Text()
		reply, err := f.Sync(t.Context(), syncRequest(0, shell("echo "+out+"; echo "+failed+" >&2")...))
		if err != nil || string(reply.GetStdout()) != out+"\n" || string(reply.GetStderr()) != failed+"\n" {
			t.Fatalf("reply %v, error %v", reply, err)
		}
		found := f.spares(t)
		if len(found) > 1 {
			t.Fatalf("spare pairs: %v", found)
		}
		if len(found) == 0 || found[0] == last { // the machine is slow: it was polled
			return errors.New("none is spare")
		}
		last = found[0]
		var info unix.Stat_t
		if err := unix.Stat(last, &info); err != nil {
			t.Fatal(err)
		}
		if used[info.Ino]++; used[info.Ino] < 3 {
			return fmt.Errorf("used: %v", used)
		}
		return nil
	})
	f.clean(t)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(f.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestManyPairs: at the same time, with outputs that fit into a FIFO and that
// do not, quick ones and slow ones.
func TestManyPairs(t *testing.T) {
	t.Parallel()
	f := start(t, exec.Config{OutputLimit: 1 << 20, Drain: 10 * time.Second})
	const most = 32 // are kept
	var group errgroup.Group
	for i := range 2 * most {
		group.Go(func() error {
			for _, size := range []int{0, 1, 60_000, 200_000} {
				script := fmt.Sprintf("sleep 0.0%d; head -c %d /dev/zero | tr '\\0' %c; echo %d >&2", i%4, size, 'a'+i%26, i)
				reply, err := f.Sync(t.Context(), syncRequest(0, shell(script)...))
				if err != nil {
					return err
				}
				if want := bytes.Repeat([]byte{byte('a' + i%26)}, size); !bytes.Equal(reply.GetStdout(), want) {
					return fmt.Errorf("stdout of %d: %d bytes, beginning with %.10q", i, len(reply.GetStdout()), reply.GetStdout())
				}
				if want := fmt.Sprintf("%d\n", i); string(reply.GetStderr()) != want {
					return fmt.Errorf("stderr of %d: %q", i, reply.GetStderr())
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	f.clean(t)
	if found := f.spares(t); len(found) > most {
		t.Errorf("%d spare pairs", len(found))
	}
}

// TestPairInUseIsNotKept: a child has the output still, or whoever had it
// is not known to have closed it.
func TestPairInUseIsNotKept(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"child":    "sleep 2 & exit 0",
		"followed": "sleep 0.1",
		"killed":   "exec sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, exec.Config{OutputLimit: 1000, Drain: 50 * time.Millisecond})
			_, err := f.Sync(t.Context(), syncRequest(time.Second, shell(script)...))
			if (err != nil) != (name == "killed") {
				t.Error(err)
			}
			f.clean(t)
			if found := f.spares(t); len(found) > 0 {
				t.Errorf("spare pairs: %v", found)
			}
			reply, err := f.Sync(t.Context(), syncRequest(0, shell("echo next")...))
			if err != nil || string(reply.GetStdout()) != "next\n" {
				t.Errorf("the next command: %v, %v", reply, err)
			}
		})
	}
}
