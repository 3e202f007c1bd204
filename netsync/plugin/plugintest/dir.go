package plugintest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

// Dir is the directory in which a plugin works, see Settings.Dir.
type Dir string

// Block makes verb hang until the returned function is called.
func (d Dir) Block(t testing.TB, verb string) (unblock func()) {
	t.Helper()
	path := filepath.Join(string(d), "block-"+verb)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	return func() { _ = os.Remove(path) }
}

// Fail makes verb fail until the returned function is called.
func (d Dir) Fail(t testing.TB, verb string, own *types.Error) (mend func()) {
	t.Helper()
	text, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(string(d), "fail-"+verb)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.Remove(path) }
}

// Calls returns the runs so far, those of verb if it is not empty.
func (d Dir) Calls(t testing.TB, verb string) []Call {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(string(d), "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var calls []Call
	for line := range bytes.Lines(text) {
		var call Call
		if json.Unmarshal(line, &call) != nil {
			continue // being written
		}
		if verb == "" || call.Command == verb {
			calls = append(calls, call)
		}
	}
	return calls
}

// Await waits until verb has been run n times.
func (d Dir) Await(t testing.TB, verb string, n int) {
	t.Helper()
	Eventually(t, verb, func() bool { return len(d.Calls(t, verb)) >= n })
}

// Held returns what ADD has made and DEL has not removed.
func (d Dir) Held(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(string(d), "held", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Eventually waits for a condition; what names it in the failure.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for %s", what)
		}
	}
}
