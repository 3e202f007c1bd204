package pump

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-cri/trivet/streamer/shimio"
)

const (
	// endSuffix makes the name of the file that tells a successor that the shim
	// has ended a stream: it need not know the stream any more.
	endSuffix = ".end"
	// inputLimit bounds the wait for the end of input to reach the shim, which
	// takes no more than the container reads.
	inputLimit = 30 * time.Second
)

// join has a bridge put the shim's streams into the FIFOs, if the container's
// are had that way. The pump has no turn yet: it would take FIFOs that only a
// predecessor has written to for ended ones. resume says that the streams were
// opened before.
func (p *pump) join(ctx context.Context, resume bool) error {
	text := p.request.GetContainer().GetStreamEndpoint()
	if text == "" {
		return nil
	}
	endpoint, err := shimio.Parse(text)
	if err != nil {
		return err
	}
	p.bridge, err = shimio.Open(ctx, shimio.Plan{
		Endpoint: endpoint, ID: p.id, Dir: p.dir, Streams: p.joined(), Resume: resume, Room: true, Ended: p.noteEnd, Log: p.log,
	})
	if err != nil {
		return fmt.Errorf("join the shim's streams: %w", err)
	}
	return nil
}

// joined are the streams that have not ended for good.
func (p *pump) joined() (names []string) {
	for _, s := range p.sources {
		if _, err := os.Stat(filepath.Join(p.dir, s.name+endSuffix)); err != nil {
			names = append(names, s.name)
		}
	}
	if p.stdin != nil && p.stdin.file != nil {
		names = append(names, stdinName)
	}
	return names
}

// noteEnd lets a successor know that the shim has ended a stream.
func (p *pump) noteEnd(name string) {
	if err := os.WriteFile(filepath.Join(p.dir, name+endSuffix), nil, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.log.Warn("end of a stream is not noted: a successor may wait for it", "stream", name, "error", err)
	}
}

// inputSent waits until the shim has all of a stdin that was closed. Only then
// may it be told to close the container's.
func (p *pump) inputSent(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, inputLimit)
	defer cancel()
	select {
	case <-p.bridge.InputEnded():
		return nil
	case <-p.set.living.Done(): // a successor has the FIFO's rest
	case <-ctx.Done():
	}
	return fmt.Errorf("wait for the shim to take the rest of stdin: %w", context.Cause(ctx))
}

// settle lets the bridges receive what is under way. No pump has turns.
func settle(entries map[string]*entry) {
	for _, e := range entries {
		if e.pump != nil {
			e.pump.bridge.Settle()
		}
	}
	for _, e := range entries {
		if e.pump != nil {
			e.pump.bridge.Wait()
		}
	}
}
