package command

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/launcher/report"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

// statusLimit is generous: the launcher answers from memory.
const statusLimit = 10 * time.Second

func status() *cli.Command {
	return leaf(0, &cli.Command{
		Name:  "status",
		Usage: "show the members, their generation, and why they were restarted",
		Description: "States of members: starting, serving, not-serving (it answers, and says that it\n" +
			"cannot work now), backoff (it failed and is started again), stopped.\n" +
			"The exit status tells whether a launcher answered.",
		Flags: append(findFlags(), &cli.BoolFlag{Name: "json", Usage: "print JSON"}),
		Action: func(c *cli.Context) error {
			return call(c, statusLimit, func(ctx context.Context, launcher launcherv1.LauncherClient) error {
				response, err := launcher.Status(ctx, &launcherv1.StatusRequest{}, atOnce())
				if err != nil {
					return err
				}
				r := report.New(response, time.Now())
				if c.Bool("json") {
					return r.WriteJSON(c.App.Writer)
				}
				return r.WriteTable(c.App.Writer)
			})
		},
	})
}
