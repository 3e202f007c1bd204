package bootstrap_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/internal/bootstrap"
)

func TestRead(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	for id, text := range map[string]string{"a": `{"version":3,"address":"unix:///s","protocol":"ttrpc","more":1}`, "b": "unix:///s"} {
		dir := filepath.Join(state, bootstrap.Sandboxes, "ns", id)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "bootstrap.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := bootstrap.Read(state, bootstrap.Sandboxes, "ns", "a"); err != nil || got != (bootstrap.Shim{Version: 3, Address: "unix:///s", Protocol: "ttrpc"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := bootstrap.Read(state, bootstrap.Sandboxes, "ns", "b"); err == nil || !strings.Contains(err.Error(), "bootstrap.json") {
		t.Errorf("not JSON: %v", err)
	}
	if _, err := bootstrap.Read(state, bootstrap.Tasks, "ns", "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none there: %v", err)
	}
}
