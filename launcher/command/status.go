package command

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/launcher/activity"
	"github.com/trivet-cri/trivet/launcher/report"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

const (
	// statusLimit is generous: the launcher answers from memory.
	statusLimit = 10 * time.Second
	// runtimeLimit is short: so does runtime, and members are shown without it.
	runtimeLimit = 2 * time.Second
)

func status() *cli.Command {
	return leaf(0, &cli.Command{
		Name:  "status",
		Usage: "show the members, why they were restarted, and what runs now",
		Description: "States of members: starting, serving, not-serving (it answers, and says that it\n" +
			"cannot work now), backoff (it failed and is started again), stopped.\n" +
			"Operations, quarantine and network are runtime's, which is asked on the CRI's socket.\n" +
			"The exit status tells whether a launcher answered.",
		Flags: append(findFlags(), &cli.BoolFlag{Name: "json", Usage: "print JSON"}),
		Action: func(c *cli.Context) error {
			return call(c, statusLimit, func(ctx context.Context, launcher launcherv1.LauncherClient) error {
				response, err := launcher.Status(ctx, &launcherv1.StatusRequest{}, atOnce())
				if err != nil {
					return err
				}
				// The launcher knows best on which socket it lets runtime serve.
				limited, cancel := context.WithTimeout(ctx, runtimeLimit)
				defer cancel()
				runtime, asked := activity.Ask(limited, response.GetCriSocket())
				r := report.New(response, runtime, asked, time.Now())
				if c.Bool("json") {
					return r.WriteJSON(c.App.Writer)
				}
				return r.WriteTable(c.App.Writer)
			})
		},
	})
}
