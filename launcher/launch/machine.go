package launch

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/launcher/health"
	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// machine is the supervisor's real world. What the members write goes to output.
type machine struct{ output *process.Output }

// Start runs a child process.
func (m machine) Start(command process.Command) (supervisor.Process, error) {
	p, err := process.Start(command, m.output)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Probe connects to a health socket.
func (m machine) Probe(socket string) (supervisor.Probe, error) {
	p, err := health.Dial(socket)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// HandOver asks the streamer: it is the one member that hands over.
func (m machine) HandOver(ctx context.Context, socket string, pid int) (err error) {
	conn, err := rpc.Dial(socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// One that does not listen yet has nothing to hand over.
	if _, err := streamerv1.NewStreamerClient(conn).HandOver(ctx, &streamerv1.HandOverRequest{Pid: int32(pid)}, grpc.WaitForReady(false)); err != nil {
		return fmt.Errorf("ask streamer on %s: %w", socket, err)
	}
	return nil
}
