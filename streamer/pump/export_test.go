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
