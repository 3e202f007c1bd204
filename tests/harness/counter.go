package harness

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Counter is a container that writes numbered lines to its log, 0, 1, 2, …,
// so that a lost, doubled or torn line shows.
type Counter struct{ *Container }

// Loss is what is wrong with a counter's log.
type Loss struct {
	Lines int // lines in the log
	Lost  int // numbers that are missing
	Twice int // numbers that are there more than once
	Torn  int // lines that are no number
}

// RunCounter starts a counter that writes batch lines and then sleeps for
// pause, over and over; without a pause it writes as fast as it can.
func (p *Pod) RunCounter(ctx context.Context, name string, batch int, pause time.Duration) (*Counter, error) {
	sleep := ""
	if pause > 0 {
		sleep = fmt.Sprintf("sleep %.3f", pause.Seconds())
	}
	script := fmt.Sprintf(`trap 'echo end; exit 0' TERM; i=0
while :; do
n=$((i+%d)); while [ $i -lt $n ]; do echo $i; i=$((i+1)); done
%s
done`, batch, sleep)
	container, err := p.Run(ctx, name, Shell(script))
	return &Counter{container}, err
}

// Finish stops the counter and judges its log.
func (c *Counter) Finish(ctx context.Context) (Loss, error) {
	if err := c.Stop(ctx, 20*time.Second); err != nil {
		return Loss{}, err
	}
	err := WaitFor(ctx, 20*time.Second, "the end of the log", func(ctx context.Context) error {
		return c.AwaitLog(ctx, "end")
	})
	loss, judgeErr := JudgeCounter(c.LogPath)
	return loss, errors.Join(err, judgeErr)
}

// JudgeCounter reads a counter's log.
func JudgeCounter(path string) (Loss, error) {
	lines, err := ReadLog(path)
	if err != nil {
		return Loss{}, err
	}
	loss := Loss{Lines: len(lines)}
	seen := make(map[int]int, len(lines))
	highest := -1
	for _, line := range lines {
		number, err := strconv.Atoi(line.Text)
		if strings.TrimSpace(line.Text) == "end" {
			continue
		}
		if err != nil || line.Partial {
			loss.Torn++
			continue
		}
		seen[number]++
		highest = max(highest, number)
	}
	for number := range highest + 1 {
		switch count := seen[number]; {
		case count == 0:
			loss.Lost++
		case count > 1:
			loss.Twice += count - 1
		}
	}
	return loss, nil
}

// Complete returns an error unless nothing is lost, doubled or torn.
func (l Loss) Complete() error {
	if l.Lost+l.Twice+l.Torn > 0 || l.Lines == 0 {
		return fmt.Errorf("of %d log lines: %d lost, %d twice, %d torn", l.Lines, l.Lost, l.Twice, l.Torn)
	}
	return nil
}
