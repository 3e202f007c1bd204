package launch

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// signals are what the launcher is told by kill(2).
type signals struct {
	stop, reload, ignored chan os.Signal
}

// takeSignals takes signals over from their default actions.
func takeSignals() *signals {
	s := &signals{
		stop: make(chan os.Signal, 1), reload: make(chan os.Signal, 1), ignored: make(chan os.Signal, 1),
	}
	signal.Notify(s.stop, unix.SIGTERM, unix.SIGINT)
	signal.Notify(s.reload, unix.SIGHUP)
	// A log reader that goes away must not end the group by SIGPIPE.
	signal.Notify(s.ignored, unix.SIGPIPE)
	return s
}

// release gives the default actions back.
func (s *signals) release() {
	signal.Stop(s.stop)
	signal.Stop(s.reload)
	signal.Stop(s.ignored)
}

// awaitStop returns when the launcher is asked to stop or ctx ends. A second
// SIGTERM or SIGINT then ends the launcher, and so its members, at once.
func (s *signals) awaitStop(ctx context.Context) {
	select {
	case <-s.stop:
		signal.Stop(s.stop)
	case <-ctx.Done():
	}
}

// onReload calls do for each SIGHUP until ctx ends. Several that arrive
// while it runs are one more call.
func (s *signals) onReload(ctx context.Context, do func()) {
	for {
		select {
		case <-s.reload:
			do()
		case <-ctx.Done():
			return
		}
	}
}
