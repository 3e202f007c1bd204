package pump

import "time"

// prompt is the wait for the rest of a terminal's line. People end lines that
// programs begin, so one that does not go on is logged as a piece: who reads
// the log sees the question. Programs without a terminal end their lines
// themselves, and readers of their logs count on whole ones.
type prompt struct {
	at    time.Time // when to wait no longer; zero without a wait
	timer *time.Timer
}

func (w *prompt) due(now time.Time) bool { return !w.at.IsZero() && !now.Before(w.at) }

// awaitPrompt begins the wait for the rest of s's line, unless it has begun.
func (p *pump) awaitPrompt(s *source) {
	if !p.request.GetTty() || !s.prompt.at.IsZero() {
		return
	}
	wait := p.set.tuning.prompt
	s.prompt.at = time.Now().Add(wait)
	s.prompt.timer = time.AfterFunc(wait, func() { p.wakeQuietly(1 << s.index) })
}

// stop ends the wait.
func (w *prompt) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	*w = prompt{}
}
