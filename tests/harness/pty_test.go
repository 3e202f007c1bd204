package harness_test

import (
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/tests/harness"
)

func TestStartOnTerminal(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "stty size; read word; test -t 0 && echo $word on a terminal")
	keyboard, err := harness.StartOnTerminal(cmd, 33, 99)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keyboard.Close() }()
	if _, err := io.WriteString(keyboard, "typed\n"); err != nil {
		t.Fatal(err)
	}
	shown, _ := io.ReadAll(keyboard) // ends with EIO when the command has
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"33 99\r\n", "typed on a terminal\r\n"} {
		if !strings.Contains(string(shown), want) {
			t.Errorf("%q is not on the screen: %q", want, shown)
		}
	}
}
