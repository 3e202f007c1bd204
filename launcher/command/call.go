package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containerd/errdefs"
	"github.com/urfave/cli/v2"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/rpc"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// call connects to the launcher of the configuration and calls do, which has
// limit and must not wait for a launcher to appear (atOnce).
func call(c *cli.Context, limit time.Duration, do func(context.Context, launcherv1.LauncherClient) error) (err error) {
	settings, err := source(c).Read()
	if err != nil {
		return err
	}
	socket := settings.Config.LauncherSocket()
	conn, err := rpc.Dial(socket)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, cancel := context.WithTimeout(c.Context, limit)
	defer cancel()
	err = do(ctx, launcherv1.NewLauncherClient(conn))
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errdefs.IsDeadlineExceeded(err):
		return fmt.Errorf("no answer from the launcher on %s within %s", socket, limit)
	case errdefs.IsUnavailable(err) && !answers(c.Context, socket):
		return fmt.Errorf("no launcher answers on %s: is `trivet run` running with this configuration? (%w)", socket, err)
	}
	return err
}

// atOnce makes a call fail when nobody listens.
func atOnce() grpc.CallOption { return grpc.WaitForReady(false) }

// answers tells whether somebody listens on socket: then an error of the
// kind Unavailable is the launcher's own answer.
func answers(ctx context.Context, socket string) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
