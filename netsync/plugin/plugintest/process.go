package plugintest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Main runs the plugin and exits if this process was started as one. Call it
// first thing in TestMain.
func Main() {
	env := variables(os.Environ())
	if env["CNI_COMMAND"] == "" {
		// A program with the race detector sleeps for a second at its end.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
		return
	}
	stdin, err := io.ReadAll(os.Stdin)
	if err == nil {
		var out []byte
		if out, err = behave(context.Background(), filepath.Base(os.Args[0]), env, stdin); err == nil {
			fmt.Print(string(out))
			os.Exit(0)
		}
	}
	report(err)
	os.Exit(1)
}

// Install makes plugins of these names in dir, which are this program.
func Install(t testing.TB, dir string, names ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}
