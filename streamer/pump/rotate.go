package pump

import (
	"errors"
	"time"

	"github.com/trivet-cri/trivet/streamer/crilog"
)

const (
	// rotatePause is the pause after a rotation that failed.
	rotatePause = time.Second
	// settleAfter is for how long a log that was made by Reopen has a second
	// name: until the kubelet has the answer, or has given up waiting for it.
	settleAfter = 10 * time.Second
)

// rotation is how a pump rotates its log by itself, and what it knows of
// other rotations.
type rotation struct {
	size    int64     // beyond which no append makes a log; 0 for none
	files   int       // logs to keep, the one in use included
	retryAt time.Time // after a failure
	warned  time.Time // of a failure
	settle  time.Time // when a log's second name goes; zero if it has none
}

// due tells whether a log of size bytes is to be rotated before an append.
func (r *rotation) due(size int64, out int) bool {
	return r.size > 0 && size > 0 && size+int64(out) > r.size
}

// rotate begins a new log. One that cannot be rotated goes on growing: no
// output is lost for it.
func (p *pump) rotate(now time.Time) {
	path := p.request.GetLogPath()
	if p.rotation.retryAt.After(now) {
		return
	}
	p.settleLog()
	file, err := crilog.Rotate(path, p.logFile.ID())
	if err != nil {
		p.rotation.failed(p, now, err)
		return
	}
	p.set.tuning.probe("rotated")
	p.useLog(file)
	if err := crilog.Prune(path, p.rotation.files-1); err != nil {
		p.log.Warn("old logs are not removed", "log", path, "error", err)
	}
}

// failed puts the next attempt off. That the kubelet rotates just then is as
// it should be.
func (r *rotation) failed(p *pump, now time.Time, err error) {
	r.retryAt = now.Add(rotatePause)
	if errors.Is(err, crilog.ErrMoved) || now.Sub(r.warned) < p.set.tuning.warnEvery {
		return
	}
	r.warned = now
	p.log.Warn("log is not rotated, it grows on", "log", p.request.GetLogPath(), "error", err)
}

// unsettled tells whether a log that was made by Reopen, and now has so many
// names, is to be settled: its time has come, or somebody has taken a name away.
func (r *rotation) unsettled(names uint64, now time.Time) bool {
	return !r.settle.IsZero() && (names < 2 || now.After(r.settle))
}

// settleLog takes the second name from the log, or redoes a rotation that was
// taken back. What fails is tried again by the next rotation or start; output
// does not wait for it.
func (p *pump) settleLog() {
	if p.rotation.settle.IsZero() {
		return
	}
	p.rotation.settle = time.Time{}
	if err := crilog.Settle(p.request.GetLogPath()); err != nil {
		p.log.Warn("log keeps a second name", "log", p.request.GetLogPath(), "error", err)
	}
}
