package main

import (
	"context"
	"fmt"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
)

// damage is what the kills have done.
type damage struct {
	kills      int
	pods       int // started, and gone, or never to be started
	containers int // not running any more, or with another process
	log        harness.Loss
	files      int           // of logs
	stall      time.Duration // the longest pause of a writer
	stalled    int           // writers that paused for longer than a restart took
	sessions   int           // that dropped, or did not end when they had to
	refused    int
	left       int
	notes      []string // one for each thing that was lost
}

func (d *damage) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// addRefused adds the errors of clients that connected during a kill.
func (d *damage) addRefused(refused []error) {
	d.refused += len(refused)
	for _, err := range refused {
		d.note("call refused: %v", err)
	}
}

// addLog adds the judgement of one container's log. A torn line is lost.
func (d *damage) addLog(name string, loss harness.Loss) {
	d.log.Lines += loss.Lines
	d.log.Lost += loss.Lost + loss.Torn
	d.log.Twice += loss.Twice
	if err := loss.Complete(); err != nil {
		d.note("container %s: %v", name, err)
	}
}

// judgeNumbered ends a writer and adds the judgement of its logs.
func (d *damage) judgeNumbered(ctx context.Context, writer *harness.Numbered, longest time.Duration) {
	verdict, err := writer.Finish(ctx)
	if err != nil {
		d.note("container %s: %v", writer.Name, err)
		verdict.Lost++
	}
	d.addLog(writer.Name, verdict.Loss)
	d.files += verdict.Files
	d.stall = max(d.stall, verdict.Stall)
	harness.Progress("%s: %d lines in %d files, longest pause %d ms", writer.Name, verdict.Lines, verdict.Files, verdict.Stall.Milliseconds())
	if verdict.Stall > longest+slack {
		d.stalled++
		d.note("container %s paused for %s, the longest restart took %s", writer.Name, verdict.Stall, longest)
	}
}

// any tells whether anything was lost.
func (d *damage) any() bool {
	return d.pods+d.containers+d.log.Lost+d.log.Twice+d.sessions+d.refused+d.left+d.stalled > 0
}

// String is the closing line.
func (d *damage) String() string {
	return fmt.Sprintf("faults: %d kills, %d pods lost, %d containers stopped, %d log lines lost, %d twice, %d sessions dropped, %d calls refused, %d left behind",
		d.kills, d.pods, d.containers, d.log.Lost, d.log.Twice, d.sessions, d.refused, d.left)
}
