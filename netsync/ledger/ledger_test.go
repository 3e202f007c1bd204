package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/netsync/ledger"
)

func open(t *testing.T, dir string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entry(id string, state ledger.State) *ledger.Entry {
	e := &ledger.Entry{
		Version: 1, State: state, Pod: ledger.Pod{ID: id, Namespace: "ns", Name: "n", UID: "u"}, NetNS: "/run/netns/" + id,
		Started: time.Now().UTC().Round(0), Args: [][2]string{{"K", "V"}},
		Capabilities: map[string]json.RawMessage{"bandwidth": json.RawMessage(`{"egressRate":18446744073709551615}`)},
		Networks:     []ledger.Network{{Name: "net", Interface: "eth0", Config: json.RawMessage(`{"name":"net"}`)}},
	}
	if state == ledger.Attached {
		e.Result = &ledger.Result{IPs: []string{"10.0.0.1"}, Interfaces: []ledger.Interface{{Name: "eth0", MAC: "02::", Sandbox: "/x"}}, CNI: json.RawMessage(`{}`)}
	}
	return e
}

func TestSurvives(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "root")
	l := open(t, dir)
	first, second := entry("aa", ledger.Intended), entry("bb", ledger.Attached)
	ok(t, l.Put(t.Context(), first))
	ok(t, l.Put(t.Context(), second))
	ok(t, l.Put(t.Context(), entry("cc", ledger.Detaching)))
	ok(t, l.Remove(t.Context(), "cc"))
	ok(t, l.Remove(t.Context(), "never"))
	ok(t, l.SetPodCIDRs(t.Context(), []string{"10.0.0.0/24", "fd00::/64"}))
	ok(t, l.Close())

	info, err := os.Stat(filepath.Join(dir, ledger.File))
	ok(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v", info.Mode())
	}
	l = open(t, dir)
	defer func() { ok(t, l.Close()) }()
	if got := l.List(); !reflect.DeepEqual(got, []*ledger.Entry{first, second}) {
		t.Errorf("after opening: %+v", got)
	}
	if _, err := l.Get("cc"); !errdefs.IsNotFound(err) {
		t.Errorf("removed entry: %v", err)
	}
	if got := strings.Join(l.PodCIDRs(), " "); got != "10.0.0.0/24 fd00::/64" {
		t.Errorf("CIDRs are %q", got)
	}
	ok(t, l.SetPodCIDRs(t.Context(), nil))
	if got := l.PodCIDRs(); len(got) != 0 {
		t.Errorf("cleared CIDRs are %q", got)
	}
}

func TestWritersShareCommits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	var group errgroup.Group
	for i := range 64 {
		group.Go(func() error {
			id := fmt.Sprintf("%02x", i)
			if err := l.Put(t.Context(), entry(id, ledger.Intended)); err != nil {
				return err
			}
			if _, err := l.Get(id); err != nil {
				return fmt.Errorf("own write is not to be seen: %w", err)
			}
			if i%2 == 0 {
				return l.Remove(t.Context(), id)
			}
			return nil
		})
	}
	ok(t, group.Wait())
	if n, _ := l.Count(); n != 32 {
		t.Errorf("%d entries", n)
	}
	ok(t, l.Close())
	l = open(t, dir)
	if n, _ := l.Count(); n != 32 {
		t.Errorf("%d entries on disk", n)
	}
	ok(t, l.Close())
}

func TestUnreadableIsSetAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	ok(t, l.Put(t.Context(), entry("aa", ledger.Intended)))
	ok(t, l.Close())
	db, err := bbolt.Open(filepath.Join(dir, ledger.File), 0o600, nil)
	ok(t, err)
	ok(t, db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket([]byte("attachments")).Put([]byte("bb"), []byte("garbage")),
			tx.Bucket([]byte("attachments")).Put([]byte("cc"), []byte(`{"version":99}`)),
		)
	}))
	ok(t, db.Close())

	l = open(t, dir)
	defer func() { ok(t, l.Close()) }()
	if n, _ := l.Count(); n != 3 || len(l.List()) != 1 || len(l.Unreadable()) != 2 {
		t.Errorf("%d entries, %d readable, unreadable %v", n, len(l.List()), l.Unreadable())
	}
	if _, err := l.Get("bb"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("get of an unreadable one: %v", err)
	}
	ok(t, l.Remove(t.Context(), "bb"))
	ok(t, l.Put(t.Context(), entry("cc", ledger.Intended)))
	if len(l.Unreadable()) != 0 {
		t.Errorf("still unreadable: %v", l.Unreadable())
	}
}

func TestOpenWaitsForTheOtherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	older := open(t, dir)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ledger.Open(short, dir); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), ledger.File) {
		t.Errorf("error is %v", err)
	}
	var group errgroup.Group
	group.Go(func() error {
		newer, err := ledger.Open(t.Context(), dir)
		if err != nil {
			return err
		}
		return newer.Close()
	})
	ok(t, older.Close())
	ok(t, group.Wait())
}

// TestCancelledWrite has a write whose caller has gone before it began
// neither on disk nor in memory, or in both.
func TestCancelledWrite(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	defer func() { ok(t, l.Close()) }()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		err := l.Put(gone, entry("aa", ledger.Intended))
		_, missing := l.Get("aa")
		if (err == nil) != (missing == nil) {
			t.Fatalf("put says %v, get says %v", err, missing)
		}
		ok(t, l.Remove(t.Context(), "aa"))
	}
}

func TestCountTellsOfChanges(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	defer func() { ok(t, l.Close()) }()
	_, changed := l.Count()
	ok(t, l.Put(t.Context(), entry("aa", ledger.Intended)))
	<-changed
	if n, _ := l.Count(); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func BenchmarkPut(b *testing.B) {
	l, err := ledger.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := l.Put(b.Context(), entry("aa", ledger.Intended)); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range []*ledger.Entry{entry("aa", ledger.Intended), entry("aa", ledger.Attached)} {
		data, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"version":1,"state":"attached","pod":{"id":"aa"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ledger.Decode("aa", data)
		switch {
		case err != nil && !errdefs.IsInvalidArgument(err):
			t.Errorf("kind of %v", err)
		case err == nil && (e.Pod.ID != "aa" || e.State == ledger.Attached && e.Result == nil):
			t.Errorf("decoded %+v", e)
		}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
