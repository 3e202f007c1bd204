package pump_test

import (
	"fmt"
	"testing"
)

// TestPrompt logs a terminal's unfinished line when it does not go on, and no
// other container's.
func TestPrompt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := newPumps(t, dir)
	stop := start(t, p)
	terminal, plain := request(t), request(t)
	terminal.Tty = true
	screen, file := openShim(t, open(t, p, terminal).GetStdout()), openShim(t, open(t, p, plain).GetStdout())
	file.write(t, "hello\nname? ")
	screen.write(t, "hello\nname? ")
	eventually(t, "prompt", func() bool { return len(records(t, terminal.GetLogPath())) == 2 })
	if got := records(t, plain.GetLogPath()); len(got) != 1 {
		t.Errorf("without a terminal the log is %v", got)
	}
	screen.write(t, "Bob\nagain? ")
	eventually(t, "second prompt", func() bool { return len(records(t, terminal.GetLogPath())) == 4 })
	screen.write(t, "y")
	stop()
	run(t, dir) // its successor asks no more than once
	eventually(t, "answer", func() bool { return len(records(t, terminal.GetLogPath())) == 5 })
	screen.write(t, "es\n")
	eventually(t, "end", func() bool { return len(records(t, terminal.GetLogPath())) == 6 })
	want := "[{stdout F hello} {stdout P name? } {stdout F Bob} {stdout P again? } {stdout P y} {stdout F es}]"
	if got := fmt.Sprint(records(t, terminal.GetLogPath())); got != want {
		t.Errorf("log is %s, want %s", got, want)
	}
}
