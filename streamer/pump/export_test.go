package pump

import (
	"log/slog"
	"time"
)

// Tuned is New with other limits, for tests; zero values keep the default.
func Tuned(dir string, config Config, log *slog.Logger, stall time.Duration, clientMax int, probe func(string)) (*Pumps, error) {
	t := defaults()
	if stall > 0 {
		t.stall = stall
		t.backoffMax = stall / 4
	}
	if clientMax > 0 {
		t.clientMax = clientMax
	}
	if probe != nil {
		t.probe = probe
	}
	return newPumps(dir, config, log, t)
}

// Impatient is New with pumps that keep output only for a moment.
func Impatient(dir string, log *slog.Logger) (*Pumps, error) {
	t := defaults()
	t.claimLimit = time.Millisecond
	return newPumps(dir, Config{PipeSize: 1 << 20}, log, t)
}

// Unclaimed is how many draining processes have not come yet.
func (p *Pumps) Unclaimed() int { return p.unclaimed() }
