// Package health asks members whether they serve, by grpc.health.v1 on their
// socket.
//
// A Probe belongs to one process of a member and is closed with it: a
// connection to its predecessor says nothing about it.
package health

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/trivet-cri/trivet/internal/rpc"
)

// Probe is a connection for health checks. It is safe for concurrent use.
type Probe struct {
	conn   *grpc.ClientConn
	client healthpb.HealthClient
}

// Dial returns a probe of the unix socket at path, which need not exist yet.
func Dial(path string) (*Probe, error) {
	conn, err := rpc.Dial(path)
	if err != nil {
		return nil, err
	}
	return &Probe{conn: conn, client: healthpb.NewHealthClient(conn)}, nil
}

// Check asks once. An error means that there was no answer within ctx, or
// nobody to ask; that is not waited for. Not serving is an answer.
func (p *Probe) Check(ctx context.Context) (serving bool, err error) {
	// A new process appears any moment: its check must not sit out the pause
	// that the connection has earned by earlier failures.
	p.conn.ResetConnectBackoff()
	answer, err := p.client.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(false))
	if err != nil {
		return false, fmt.Errorf("check health on %s: %w", p.conn.CanonicalTarget(), err)
	}
	return answer.GetStatus() == healthpb.HealthCheckResponse_SERVING, nil
}

// Close ends the connection.
func (p *Probe) Close() error {
	if err := p.conn.Close(); err != nil {
		return fmt.Errorf("close health probe: %w", err)
	}
	return nil
}
