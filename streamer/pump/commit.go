package pump

import (
	"fmt"
	"time"

	"github.com/trivet-cri/trivet/streamer/crilog"
	"github.com/trivet-cri/trivet/streamer/journal"
)

// dropPace is the pause after output was dropped: a failing disk must not
// cost a processor as well.
const dropPace = 20 * time.Millisecond

// commit appends out to the log and consumes in, the input that it covers,
// from the FIFO. If the log fails it returns how long to wait before the next
// attempt and consumes nothing, or, when the container was held back for long
// enough, drops the input.
func (p *pump) commit(s *source, in, out []byte) (time.Duration, error) {
	mark, err := p.append(s, in, out)
	if err == nil {
		if err := s.consume(in[:len(in)-1], mark); err != nil {
			return again, err
		}
		p.set.tuning.probe("consumed")
		p.rate.spend(time.Now(), len(in))
		p.set.written.add(out)
		if also := p.set.config.Also; also != nil {
			also(p.request.GetContainer(), out)
		}
		p.recovered()
		return again, nil
	}
	wait, drop := p.trouble.fail(time.Now(), p.set.tuning)
	drop = drop || p.forced
	p.trouble.now.Store(&failure{since: p.trouble.since, err: err, dropped: drop})
	if !drop {
		if p.trouble.first() {
			p.log.Warn("log cannot be written, output is held back", "log", p.request.GetLogPath(), "error", err)
		}
		return wait, nil
	}
	p.trouble.dropped.Add(uint64(len(in)))
	p.set.dropped.Add(uint64(len(in)))
	if p.trouble.shouldWarn(time.Now(), p.set.tuning.warnEvery) {
		p.log.Warn("log cannot be written, output is dropped", "log", p.request.GetLogPath(),
			"dropped_bytes", p.trouble.dropped.Load(), "error", err)
	}
	p.trouble.retryAt = time.Now().Add(dropPace)
	return again, s.consume(in, nil)
}

// append writes out to the log. The returned mark is for the read that
// consumes in. After an error the log is as before, or tornAt is set.
func (p *pump) append(s *source, in, out []byte) (mark []byte, err error) {
	size, err := p.writable(len(out))
	if err != nil {
		return nil, err
	}
	batch := batchOf(p.logFile, size, len(out))
	batch.In, batch.Stream = uint32(len(in)), uint8(s.index)
	p.set.tuning.probe("framed")
	mark = p.journal.Begin(batch, in[len(in)-1])
	p.set.tuning.probe("begun")
	if err := p.logFile.Append(out); err != nil {
		p.tornAt = size
		_ = p.untear() // if it fails, the next attempt begins with it
		return nil, err
	}
	p.set.tuning.probe("appended")
	return mark, nil
}

// writable makes sure that there is a whole, named log with room for out
// bytes, and returns its size.
func (p *pump) writable(out int) (int64, error) {
	if p.logFile == nil {
		file, err := crilog.Open(p.request.GetLogPath())
		if err != nil {
			return 0, err
		}
		p.useLog(file)
	}
	if err := p.untear(); err != nil {
		return 0, err
	}
	size, err := p.named()
	if err != nil || !p.rotation.due(size, out) {
		return size, err
	}
	p.rotate(time.Now())
	return p.named()
}

// named makes sure that the log has a name and returns its size.
func (p *pump) named() (int64, error) {
	size, names, err := p.logFile.Size()
	if err == nil && p.rotation.unsettled(names, time.Now()) {
		p.settleLog()
		size, names, err = p.logFile.Size()
	}
	if err != nil || names > 0 {
		return size, err
	}
	// The file was deleted, so nobody would ever see the lines.
	if err := p.reopen(); err != nil {
		return 0, err
	}
	size, _, err = p.logFile.Size()
	return size, err
}

// untear removes the part of an append that failed.
func (p *pump) untear() error {
	if p.tornAt < 0 {
		return nil
	}
	if err := p.logFile.Truncate(p.tornAt); err != nil {
		return fmt.Errorf("remove torn append: %w", err)
	}
	p.tornAt = -1
	return nil
}

func batchOf(file *crilog.File, offset int64, out int) journal.Batch {
	id := file.ID()
	return journal.Batch{Dev: id.Dev, Ino: id.Ino, Offset: offset, Out: uint32(out)}
}
