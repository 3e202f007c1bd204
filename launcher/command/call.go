package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
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
	socket, err := launcherSocket(c)
	if err != nil {
		return err
	}
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
		return fmt.Errorf("no launcher answers on %s: is `trivet run` running there? (%w)", socket, err)
	case err != nil:
		return once(err)
	}
	return nil
}

// findFlags say where the launcher is.
func findFlags() []cli.Flag {
	return []cli.Flag{
		configFlag(),
		&cli.StringFlag{
			Name: "socket", TakesFile: true,
			Usage: "launcher's `SOCKET`; the configuration, which may be half edited, is then not read",
		},
	}
}

func launcherSocket(c *cli.Context) (string, error) {
	if socket := c.String("socket"); socket != "" {
		return socket, nil
	}
	settings, err := source(c).Read()
	if err != nil {
		return "", err
	}
	return settings.Config.LauncherSocket(), nil
}

// once is err without the lines that repeat the end of an earlier one: on
// its way through gRPC an error gets its kind, and each of several joined
// errors, a second time.
func once(err error) error {
	var kept []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		if !slices.ContainsFunc(kept, func(earlier string) bool { return strings.HasSuffix(earlier, line) }) {
			kept = append(kept, line)
		}
	}
	return errors.New(strings.Join(kept, "\n"))
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
