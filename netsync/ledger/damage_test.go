package ledger_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/netsync/ledger"
)

func TestDamagedFileIsMovedAside(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func([]byte) []byte{
		"garbage":   func([]byte) []byte { return bytes.Repeat([]byte("garbage "), 4096) },
		"short":     func([]byte) []byte { return []byte("x") },
		"truncated": func(data []byte) []byte { return data[:3*4096] },
		"zeroes":    func(data []byte) []byte { return make([]byte, len(data)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := open(t, dir)
			for i := range 100 {
				ok(t, l.Put(t.Context(), entry(fmt.Sprintf("%04x", i), ledger.Attached)))
			}
			ok(t, l.Close())
			path := filepath.Join(dir, ledger.File)
			data, err := os.ReadFile(path)
			ok(t, err)
			ok(t, os.WriteFile(path, harm(data), 0o600))

			l = open(t, dir)
			defer func() { ok(t, l.Close()) }()
			if l.Damage() == nil || !strings.Contains(l.Damage().Error(), path) {
				t.Errorf("damage is %v", l.Damage())
			}
			if n, _ := l.Count(); n != 0 {
				t.Errorf("%d entries", n)
			}
			ok(t, l.Put(t.Context(), entry("aa", ledger.Intended)))
			if aside, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(aside, harm(data)) {
				t.Errorf("the damaged file: %d bytes, %v", len(aside), err)
			}
		})
	}
}

// TestSystemErrorIsNoDamage has nothing moved because of the kernel's errors.
func TestSystemErrorIsNoDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ok(t, os.Mkdir(filepath.Join(dir, ledger.File), 0o700))
	if _, err := ledger.Open(t.Context(), dir); err == nil {
		t.Error("a directory was opened")
	}
	if _, err := os.Stat(filepath.Join(dir, ledger.File)); err != nil {
		t.Error(err)
	}
}
