package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trivet-cri/trivet/streamer/journal"
)

func create(t *testing.T) (*journal.Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return j, path
}

func reopen(t *testing.T, j *journal.Journal, path string) *journal.Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestJournal(t *testing.T) {
	t.Parallel()
	j, path := create(t)
	if _, _, _, ok := j.Last(); ok {
		t.Fatal("a new journal has a batch")
	}
	for i := range 5 {
		want := journal.Batch{Dev: 1, Ino: 2, Offset: int64(i), Out: 10, In: 5, Stream: uint8(i % 2)}
		mark := j.Begin(want, '\n')
		j = reopen(t, j, path)
		got, mark2, pending, ok := j.Last()
		if got != want || !pending || !ok {
			t.Fatalf("begun: %+v, pending %t, ok %t", got, pending, ok)
		}
		_ = mark // points to a mapping that is gone
		mark2[0] = '\n'
		j = reopen(t, j, path)
		if _, _, pending, ok := j.Last(); pending || !ok {
			t.Fatal("consumed, but still pending")
		}
	}
	j.Begin(journal.Batch{In: 1}, 0)
	j.Settle()
	if _, _, pending, _ := j.Last(); pending {
		t.Error("settled, but still pending")
	}
	j.Begin(journal.Batch{Ino: 7}, 0)
	if b, _, pending, ok := j.Last(); pending || !ok || b.Ino != 7 {
		t.Errorf("a record without input: %+v, pending %t", b, pending)
	}
	if j.WriterSeen(0) || j.WriterSeen(1) {
		t.Error("writers seen from the start")
	}
	j.SawWriter(1)
	j = reopen(t, j, path)
	if j.WriterSeen(0) || !j.WriterSeen(1) {
		t.Error("the writer that was seen is not remembered")
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// TestTorn damages each byte of the newest record: the one before must show.
func TestTorn(t *testing.T) {
	t.Parallel()
	j, path := create(t)
	j.Begin(journal.Batch{Offset: 1, In: 1}, 'a')[0] = 'a'
	j.Begin(journal.Batch{Offset: 2, In: 1}, 'b')
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 64; i < 64+48; i++ { // the second record's slot is the first
		torn := append([]byte(nil), whole...)
		torn[i] ^= 0x55
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := journal.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if b, _, pending, ok := j.Last(); b.Offset != 1 || pending || !ok {
			t.Errorf("byte %d torn: %+v, pending %t", i, b, pending)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	for _, content := range []string{"", "short", string(make([]byte, 4096))} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Open(path); !errors.Is(err, journal.ErrForeign) {
			t.Errorf("%d bytes: %v", len(content), err)
		}
	}
	if _, err := journal.Create(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("create over a file: %v", err)
	}
	if _, err := journal.Open(path + "none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open nothing: %v", err)
	}
}

// FuzzOpen opens damaged pages: no panic, and only records that make sense.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("TRVTPMP1"), uint16(0))
	f.Add(make([]byte, 64), uint16(64))
	f.Fuzz(func(t *testing.T, damage []byte, at uint16) {
		j, path := create(t)
		j.Begin(journal.Batch{Offset: 5, In: 3}, 'x')
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(page[int(at)%len(page):], damage)
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err = journal.Open(path)
		if err != nil {
			return
		}
		if b, mark, _, ok := j.Last(); ok && (b.Offset < 0 || len(mark) != 1) {
			t.Errorf("batch %+v", b)
		}
		want := journal.Batch{Offset: 9, In: 1}
		j.Begin(want, 'y')
		if got, _, pending, ok := j.Last(); got != want && ok && got.Offset != 5 || !pending {
			t.Errorf("after damage: %+v", got)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}
