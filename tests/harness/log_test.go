package harness_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/tests/harness"
)

// write makes a log file of records "TIME STREAM TAG TEXT".
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const at = "2026-01-02T03:04:05.123456789Z "

func TestReadLog(t *testing.T) {
	t.Parallel()
	lines, err := harness.ReadLog(write(t, at+"stdout P long \n"+at+"stderr F  line\n"+at+"stdout F \n"))
	if err != nil || len(lines) != 3 {
		t.Fatalf("%d lines, error %v", len(lines), err)
	}
	if lines[0].Text != "long " || !lines[0].Partial || lines[1].Text != " line" || lines[1].Stream != "stderr" || lines[2].Text != "" {
		t.Errorf("lines are %+v", lines)
	}
}

func TestReadLogRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"torn end":   at + "stdout F a\n" + at + "stdout F b",
		"no time":    "yesterday stdout F a\n",
		"no stream":  at + "stdin F a\n",
		"no tag":     at + "stdout X a\n",
		"empty line": "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := harness.ReadLog(write(t, text)); err == nil || !strings.Contains(err.Error(), "line") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestJudgeCounter(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, number := range []string{"0", "1", "1", "3", "4x", "6", "end"} {
		text.WriteString(at + "stdout F " + number + "\n")
	}
	loss, err := harness.JudgeCounter(write(t, text.String()))
	if want := (harness.Loss{Lines: 7, Lost: 3, Twice: 1, Torn: 1}); err != nil || loss != want {
		t.Fatalf("loss is %+v, want %+v, error %v", loss, want, err)
	}
	if loss.Complete() == nil {
		t.Error("that counts as complete")
	}
}
