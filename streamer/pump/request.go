package pump

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/internal/wholefile"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/crilog"
	"github.com/trivet-cri/trivet/streamer/journal"
	"github.com/trivet-cri/trivet/streamer/shimio"
)

// The names in a container's folder.
const (
	stdinName   = shimio.Stdin
	journalName = "journal"
	requestName = "request" // written last: a folder without it was never open
)

// outputNames are the FIFOs of output; the index is the journal's stream.
var outputNames = [journal.Streams]string{shimio.Stdout, shimio.Stderr}

// undoTimeout bounds the cleaning up after a failed Open.
const undoTimeout = 5 * time.Second

// validated returns a copy of r with a clean log path.
func validated(r *streamerv1.OpenIORequest) (*streamerv1.OpenIORequest, error) {
	if err := ident.Check("container.id", r.GetContainer().GetId()); err != nil {
		return nil, err
	}
	if err := shimio.Check(r.GetContainer().GetStreamEndpoint()); err != nil {
		return nil, err
	}
	r = proto.CloneOf(r)
	if r.GetLogPath() == "" {
		return r, nil
	}
	if !filepath.IsAbs(r.GetLogPath()) {
		return nil, fmt.Errorf("log_path %q is not absolute: %w", r.GetLogPath(), errdefs.ErrInvalidArgument)
	}
	r.LogPath = filepath.Clean(r.GetLogPath())
	return r, nil
}

func sameRequest(a, b *streamerv1.OpenIORequest) bool { return proto.Equal(a, b) }

// create makes what Open promises. Killed at any point it leaves a folder
// that the next start, Close or Sweep removes.
func (p *Pumps) create(ctx context.Context, r *streamerv1.OpenIORequest) (_ *pump, err error) {
	var made undo.Stack
	defer func() { err = errors.Join(err, made.Run(ctx, undoTimeout)) }()

	dir := p.folder(r.GetContainer().GetId())
	// Whatever has the folder is not open, so it is left over.
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("remove leftovers: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	made.Add("folder", func(context.Context) error { return os.RemoveAll(dir) })
	for _, name := range fifoNames(r) {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			return nil, fmt.Errorf("make fifo %s: %w", name, err)
		}
	}
	j, err := journal.Create(filepath.Join(dir, journalName))
	if err != nil {
		return nil, err
	}
	made.Add("journal", func(context.Context) error { return j.Close() })
	pump, err := p.assemble(r, j)
	if err != nil {
		return nil, err
	}
	made.Add("pump", func(context.Context) error { return pump.release() })
	if err := pump.join(ctx, false); err != nil {
		return nil, err
	}
	if r.GetLogPath() != "" {
		file, err := crilog.Open(r.GetLogPath())
		if err != nil {
			return nil, err
		}
		pump.useLog(file)
	}
	if err := writeMessage(dir, requestName, r); err != nil {
		return nil, err
	}
	if err := pump.begin(0); err != nil {
		return nil, err
	}
	made.Release()
	return pump, nil
}

func fifoNames(r *streamerv1.OpenIORequest) []string {
	names := []string{outputNames[0]}
	if !r.GetTty() {
		names = append(names, outputNames[1])
	}
	if r.GetStdin() {
		names = append(names, stdinName)
	}
	return names
}

// writeMessage makes a file that exists whole or not at all.
func writeMessage(dir, name string, m proto.Message) error {
	raw, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := wholefile.Write(filepath.Join(dir, name), raw); err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

func readRequest(dir string) (*streamerv1.OpenIORequest, error) {
	raw, err := os.ReadFile(filepath.Join(dir, requestName))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	r := &streamerv1.OpenIORequest{}
	if err := proto.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("decode request: %w", err)
	}
	return r, nil
}
