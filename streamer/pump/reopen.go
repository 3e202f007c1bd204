package pump

import (
	"context"
	"fmt"
	"time"

	"github.com/trivet-cri/trivet/streamer/crilog"
)

// Reopen opens the container's log path again after a rotation. When it
// returns the old file is complete and lines go to the new one. Errors:
// ErrNotFound (no such container, or the log's directory does not exist); the
// pump then goes on with the old file.
func (p *Pumps) Reopen(ctx context.Context, id string) error {
	pump, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	if err := pump.do(ctx, pump.reopen); err != nil {
		return fmt.Errorf("reopen log of container %s: %w", id, err)
	}
	return nil
}

// reopen runs in a turn, so no append is under way.
func (p *pump) reopen() error {
	path := p.request.GetLogPath()
	if path == "" {
		return nil
	}
	file, second, err := crilog.Renew(path)
	if err != nil {
		return err
	}
	p.useLog(file)
	p.rotation.settle = time.Time{}
	if second {
		p.rotation.settle = time.Now().Add(settleAfter)
	}
	// A log that failed may be on a healthy disk now.
	p.trouble.retryAt = time.Time{}
	return nil
}

// useLog appends to file from now on and lets a successor know.
func (p *pump) useLog(file *crilog.File) {
	if p.logFile != nil {
		_ = p.logFile.Close() // complete: every append is one finished write
	}
	p.logFile = file
	p.journal.Begin(batchOf(file, 0, 0), 0)
}
