package tuning_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/runtime/tuning"
)

// TestBalancer runs programs of its own in place of the machine's.
func TestBalancer(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	said := filepath.Join(dir, "said")
	program := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program("irqbalance", `echo "$1 $IRQBALANCE_BANNED_CPUS" >> `+said)
	for _, test := range []struct{ systemctl, file, want string }{
		{`echo enabled; echo $1 >> ` + said, dir, "is-enabled|restart|"},
		{`echo disabled; echo $1 >> ` + said, dir, "is-enabled|--oneshot 0c|"},
		{`echo enabled; echo $1 >> ` + said + `; test $1 = is-enabled`, dir, "is-enabled|restart|--oneshot 0c|"},
		{`exit 1`, filepath.Join(dir, "none"), "--oneshot 0c|"},
	} {
		program("systemctl", test.systemctl)
		_ = os.Remove(said)
		tuning.Balancer{File: test.file, Log: slog.New(slog.DiscardHandler)}.Rebalance(t.Context(), "0c")
		text, _ := os.ReadFile(said)
		if got := strings.ReplaceAll(string(text), "\n", "|"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.systemctl, got, test.want)
		}
	}
	program("irqbalance", "exit 1")
	tuning.Balancer{File: dir, Log: slog.New(slog.DiscardHandler)}.Rebalance(t.Context(), "0c") // only logged
}
