package harness_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
)

func TestJudgeNumbered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines string // with "stdout F " before each, unless it says otherwise
		want  harness.Verdict
		fails string
	}{
		"good":       {lines: "0 1.00|1 1.50|2 1.50|end 3", want: harness.Verdict{Loss: harness.Loss{Lines: 3}, Stall: 500 * time.Millisecond}},
		"in pieces":  {lines: "P0 |1.00|P1|P |3.00|end 2", want: harness.Verdict{Loss: harness.Loss{Lines: 2}, Stall: 2 * time.Second}},
		"lost":       {lines: "0 1|3 1|end 4", want: harness.Verdict{Loss: harness.Loss{Lines: 2, Lost: 2}}},
		"lost end":   {lines: "0 1|end 4", want: harness.Verdict{Loss: harness.Loss{Lines: 1, Lost: 3}}},
		"twice":      {lines: "0 1|1 1|0 1|end 2", want: harness.Verdict{Loss: harness.Loss{Lines: 2, Twice: 1}}},
		"torn":       {lines: "0 1|x|1 1|end 2", want: harness.Verdict{Loss: harness.Loss{Lines: 2, Torn: 1}}},
		"no end":     {lines: "0 1|1 1", fails: "does not end"},
		"unfinished": {lines: "0 1|end 1|P1 ", fails: "does not end"},
	} {
		text := ""
		for line := range strings.SplitSeq(c.lines, "|") {
			tag := "F "
			if rest, ok := strings.CutPrefix(line, "P"); ok {
				tag, line = "P ", rest
			}
			text += at + "stdout " + tag + line + "\n"
		}
		got, err := harness.JudgeNumbered(write(t, text), "stdout")
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		c.want.Files = 1
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

// TestJudgeRotated orders logs by their lines, whatever their names.
func TestJudgeRotated(t *testing.T) {
	t.Parallel()
	path := write(t, "2026-01-02T03:04:07Z stdout F end 2\n")
	for name, text := range map[string]string{
		".20260102-2": "2026-01-02T03:04:05Z stdout F 0 1\n",
		".20260102-1": "2026-01-02T03:04:06Z stdout F 1 1\n",
	} {
		if err := os.WriteFile(path+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := harness.JudgeNumbered(path, "stdout"); err != nil || got.Lines != 2 || got.Files != 3 || got.Complete() != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}
