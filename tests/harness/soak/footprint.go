package soak

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/trivet-cri/trivet/internal/metrics"
	"github.com/trivet-cri/trivet/tests/harness"
)

// Footprint is what a streamer holds.
type Footprint struct {
	PID        int
	Goroutines int
	Threads    int
	FDs        int
	FIFOs      int // below the state directory
	RSS        int // KiB
	Sessions   int
}

func (f Footprint) String() string {
	return fmt.Sprintf("process %d: %d goroutines, %d threads, %d descriptors, %d FIFOs, %d KiB resident, %d sessions",
		f.PID, f.Goroutines, f.Threads, f.FDs, f.FIFOs, f.RSS, f.Sessions)
}

// What may be more than before: connections that are kept for a while, and
// memory that the Go runtime keeps, which a leak soon exceeds.
const (
	moreGoroutines = 10
	moreFDs        = 5 + 2*8 // of FIFOs in reserve
	moreRSS        = 32 << 10
)

// Back returns an error that names what is more than before.
func (f Footprint) Back(before Footprint) error {
	var more []error
	for _, figure := range []struct {
		name                string
		now, before, margin int
	}{
		{"goroutines", f.Goroutines, before.Goroutines, moreGoroutines},
		{"descriptors", f.FDs, before.FDs, moreFDs},
		{"FIFOs", f.FIFOs, before.FIFOs, 0},
		{"KiB resident", f.RSS, before.RSS, moreRSS},
		{"sessions", f.Sessions, before.Sessions, 0},
	} {
		if figure.now > figure.before+figure.margin {
			more = append(more, fmt.Errorf("%d %s, before %d", figure.now, figure.name, figure.before))
		}
	}
	if f.PID != before.PID {
		more = append(more, fmt.Errorf("another process, %d instead of %d", f.PID, before.PID))
	}
	return errors.Join(more...)
}

// Measure looks at a group's streamer.
func Measure(ctx context.Context, group *harness.Group) (Footprint, error) {
	member, err := group.Member(ctx, "streamer")
	if err != nil {
		return Footprint{}, err
	}
	f := Footprint{PID: int(member.GetPid())}
	if f.Goroutines, err = goroutines(ctx, group.Config.State, f.PID); err != nil {
		return f, err
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", f.PID))
	if err != nil {
		return f, fmt.Errorf("count descriptors: %w", err)
	}
	f.FDs = len(fds)
	if f.Threads, err = statusNumber(f.PID, "Threads:"); err != nil {
		return f, err
	}
	if f.RSS, err = statusNumber(f.PID, "VmRSS:"); err != nil {
		return f, err
	}
	if f.FIFOs, err = fifos(group.Config.State); err != nil {
		return f, err
	}
	f.Sessions, err = sessions(ctx, group)
	return f, err
}

// goroutines asks the process's metrics.
func goroutines(ctx context.Context, state string, pid int) (int, error) {
	sockets, err := metrics.Sockets(state)
	if err != nil {
		return 0, err
	}
	for _, socket := range sockets {
		if socket.PID == pid {
			return scrape(ctx, socket.Path, "go_goroutines")
		}
	}
	return 0, fmt.Errorf("process %d serves no metrics in %s", pid, state)
}

func scrape(ctx context.Context, socket, name string) (int, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://streamer"+metrics.Path, nil)
	if err != nil {
		return 0, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, fmt.Errorf("scrape %s: %w", socket, err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return 0, fmt.Errorf("scrape %s: %w", socket, err)
	}
	for _, m := range families[name].GetMetric() {
		return int(m.GetGauge().GetValue()), nil
	}
	return 0, fmt.Errorf("scrape %s: no %s", socket, name)
}

// statusNumber reads a number from /proc/PID/status.
func statusNumber(pid int, field string) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("status of process: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("status of process %d has no %s", pid, field)
}

func fifos(dir string) (int, error) {
	n := 0
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone while walking
		}
		if err == nil && entry.IsDir() && entry.Name() == "spare" {
			return fs.SkipDir // a reserve, see streamer/exec
		}
		if err == nil && entry.Type() == fs.ModeNamedPipe {
			n++
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count FIFOs: %w", err)
	}
	return n, nil
}

// settleLimit bounds how long a streamer may take to be back.
const settleLimit = time.Minute
