package image

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/transfer"
)

// unpackPatience is how many times longer a layer may take to unpack than to
// download without a sign of progress: where the unpacking reports only its
// begin and end, a large layer on a slow disk looks like standing still.
const unpackPatience = 6

// meter follows the progress of one pull.
type meter struct {
	pulse *pulse

	mu    sync.Mutex
	stage string // what containerd does, for people
	moved time.Time
	parts map[string]part
}

// part is one blob of the image.
type part struct {
	event       string
	done, total int64
}

// pulse is when any pull of this process last moved.
type pulse struct{ nanos atomic.Int64 }

func (p *pulse) beat(now time.Time) { p.nanos.Store(now.UnixNano()) }

func (p *pulse) last() time.Time { return time.Unix(0, p.nanos.Load()) }

func newMeter(pulse *pulse, now time.Time) *meter {
	return &meter{pulse: pulse, stage: "waiting for containerd", moved: now, parts: make(map[string]part)}
}

// note takes one report. Reports that repeat what is known are no progress.
func (m *meter) note(p transfer.Progress, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.Name == "" || p.Desc == nil || p.Total == 0 {
		if m.stage == p.Event {
			return
		}
		m.stage = p.Event
	} else {
		known := m.parts[p.Name]
		if known.event == p.Event && p.Progress <= known.done {
			return
		}
		m.parts[p.Name] = part{p.Event, p.Progress, p.Total}
	}
	m.moved = now
	m.pulse.beat(now)
}

// enter marks a new stage of the pull.
func (m *meter) enter(stage string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stage, m.moved = stage, now
	m.pulse.beat(now)
}

// stalled tells whether the pull has stood still for longer than it may. A
// pull with no blob under way may just wait for its turn: it is not stalled as
// long as other pulls move.
func (m *meter) stalled(now time.Time, timeout time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	downloading, unpacking := m.active()
	last := m.moved
	switch {
	case unpacking:
		timeout *= unpackPatience
	case len(m.parts) > 0 && !downloading && m.pulse.last().After(last):
		last = m.pulse.last()
	}
	return now.Sub(last) >= timeout
}

// active tells what blobs are under way.
func (m *meter) active() (downloading, unpacking bool) {
	for _, p := range m.parts {
		switch p.event {
		case "downloading":
			downloading = downloading || p.done < p.total
		case "extracting":
			unpacking = unpacking || p.done < p.total
		}
	}
	return downloading, unpacking
}

// String is the stage and how much has been fetched.
func (m *meter) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var done, total int64
	for _, p := range m.parts {
		total += p.total
		if p.event == "extracting" {
			done += p.total // fetched before
		} else {
			done += p.done
		}
	}
	if total == 0 {
		return m.stage
	}
	return fmt.Sprintf("%s, %d of %d bytes", m.stage, done, total)
}
