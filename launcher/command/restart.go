package command

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// restartLimit is how long the user waits for a new generation by default.
const restartLimit = 5 * time.Minute

func restart() *cli.Command {
	return leaf(0, &cli.Command{
		Name:        "restart",
		Usage:       "start a new generation of all members and wait until it serves",
		Description: "Containers keep running, and clients that connect meanwhile wait.",
		Flags: append(findFlags(), timeoutFlag(),
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` for the log and the status"}),
		Action: func(c *cli.Context) error {
			return call(c, c.Duration("timeout"), func(ctx context.Context, launcher launcherv1.LauncherClient) error {
				response, err := launcher.Restart(ctx, &launcherv1.RestartRequest{Reason: c.String("reason")}, atOnce())
				return serves(c, response.GetGeneration(), err)
			})
		},
	})
}

func reload() *cli.Command {
	return leaf(0, &cli.Command{
		Name:  "reload",
		Usage: "read the configuration again and start a new generation with it",
		Description: "The launcher reads the file that it was started with; --config and --socket only\n" +
			"say how to find the launcher. A file with a mistake is refused, and the running generation stays.",
		Flags: append(findFlags(), timeoutFlag()),
		Action: func(c *cli.Context) error {
			return call(c, c.Duration("timeout"), func(ctx context.Context, launcher launcherv1.LauncherClient) error {
				response, err := launcher.Reload(ctx, &launcherv1.ReloadRequest{}, atOnce())
				return serves(c, response.GetGeneration(), err)
			})
		},
	})
}

func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Value: restartLimit, Usage: "give up waiting after `DURATION`; the restart itself goes on"}
}

func serves(c *cli.Context, generation int64, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.App.Writer, "generation %d serves\n", generation)
	return err
}
