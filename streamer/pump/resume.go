package pump

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/telemetry"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/crilog"
	"github.com/trivet-cri/trivet/streamer/journal"
)

// resume opens what a predecessor left. A container that cannot be resumed is
// reported and left for Close or Sweep; it does not keep the others waiting.
func (p *Pumps) resume() error {
	folders, err := os.ReadDir(p.dir)
	if err != nil {
		return fmt.Errorf("read the directory of the pumps: %w", err)
	}
	handed := p.handed()
	for _, folder := range folders {
		id := folder.Name()
		if !folder.IsDir() || ident.Check("folder", id) != nil {
			continue
		}
		if err := p.resumeOne(id, handed[id]); err != nil {
			p.log.Error("container's io is not resumed", telemetry.ContainerID, id, "error", err)
		}
	}
	return nil
}

func (p *Pumps) resumeOne(id string, handed *streamerv1.HandedContainer) error {
	dir := p.folder(id)
	request, err := readRequest(dir)
	if errors.Is(err, os.ErrNotExist) {
		return remove(dir) // Open or Close was under way
	}
	if err != nil {
		return err
	}
	if got := request.GetContainer().GetId(); got != id {
		return fmt.Errorf("folder has the request of container %q", got)
	}
	j, err := journal.Open(filepath.Join(dir, journalName))
	if err != nil {
		// The output must flow all the same; what was under way is lost.
		p.log.Error("journal is not readable and begins anew", telemetry.ContainerID, id, "error", err)
		if j, err = renewJournal(dir); err != nil {
			return err
		}
	}
	pump, err := p.assemble(request, j)
	if err != nil {
		return err
	}
	pump.takeOver()
	if err := pump.join(p.living, true); err != nil {
		return errors.Join(err, pump.release())
	}
	p.keep(pump, handed)
	e := &entry{request: request, ready: make(chan struct{}), pump: pump}
	close(e.ready)
	p.mu.Lock()
	p.entries[id] = e
	p.mu.Unlock()
	return pump.begin(everything)
}

func renewJournal(dir string) (*journal.Journal, error) {
	path := filepath.Join(dir, journalName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove journal: %w", err)
	}
	return journal.Create(path)
}

// takeOver finishes what the predecessor had under way and opens the log. The
// pump has no turn yet.
func (p *pump) takeOver() {
	for _, s := range p.sources {
		if s.writer = p.journal.WriterSeen(s.index); s.writer {
			s.poke()
		}
	}
	if p.request.GetLogPath() == "" {
		return
	}
	second, err := crilog.Mend(p.request.GetLogPath())
	if err != nil {
		p.log.Error("rotation under way is not finished", "log", p.request.GetLogPath(), "error", err)
	}
	if second {
		p.rotation.settle = time.Now().Add(settleAfter)
	}
	batch, mark, pending, ok := p.journal.Last()
	if !ok {
		return // the first append opens the log
	}
	id := crilog.ID{Dev: batch.Dev, Ino: batch.Ino}
	old, err := crilog.Find(p.request.GetLogPath(), id)
	if err != nil {
		// Rotated and gone. If its input was not consumed, it is logged again.
		p.log.Warn("last log file is not found", "log", p.request.GetLogPath(), "error", err)
		return
	}
	p.logFile = old
	if pending {
		if err := p.settle(batch, mark); err != nil {
			p.log.Error("append under way is not finished", "log", p.request.GetLogPath(), "error", err)
		}
	}
	// A rotated file stays in use until Reopen, as it would have without the
	// restart, unless the path already leads to a new one.
	if current, err := crilog.OpenExisting(p.request.GetLogPath()); err == nil {
		p.useLog(current)
	}
}

// settle decides about an append that was under way: one that happened has its
// input consumed, one that was torn is taken back, one that did not happen is
// nothing.
func (p *pump) settle(batch journal.Batch, mark []byte) error {
	if int(batch.Stream) >= len(p.sources) {
		return fmt.Errorf("journal names stream %d: %w", batch.Stream, journal.ErrForeign)
	}
	s := p.sources[batch.Stream]
	size, _, err := p.logFile.Size()
	if err != nil {
		return err
	}
	input := s.available() >= int(batch.In)
	end := batch.Offset + int64(batch.Out)
	switch {
	case size >= end && input:
		return s.consume(make([]byte, batch.In-1), mark)
	case size >= end:
		p.journal.Settle() // logged, and the FIFO's content is gone
		return nil
	case size > batch.Offset && input:
		return p.logFile.Truncate(batch.Offset)
	case size > batch.Offset:
		return p.logFile.TrimRecord(batch.Offset)
	}
	return nil
}
