package command

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/launcher/activity"
	"github.com/trivet-cri/trivet/launcher/report"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

const (
	// statusLimit is generous: the launcher answers from memory.
	statusLimit = 10 * time.Second
	// memberLimit is short: so do members, and they are shown without what
	// runtime says.
	memberLimit = 2 * time.Second
)

func status() *cli.Command {
	return leaf(0, &cli.Command{
		Name:  "status",
		Usage: "show the members, why they were restarted, and what runs now",
		Description: "States of members: starting, serving, not-serving (it answers, and says that it\n" +
			"cannot work now), backoff (it failed and is started again), stopped.\n" +
			"Operations, quarantine and network are runtime's, which is asked on the CRI's socket.\n" +
			"With --sessions, the open exec, attach and port-forward sessions are shown instead, which\n" +
			"streamer is asked for; that it does not answer is an error then.\n" +
			"The exit status tells whether a launcher answered.",
		Flags: append(findFlags(),
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.BoolFlag{Name: "sessions", Usage: "show the open sessions"}),
		Action: func(c *cli.Context) error {
			return call(c, statusLimit, func(ctx context.Context, launcher launcherv1.LauncherClient) error {
				response, err := launcher.Status(ctx, &launcherv1.StatusRequest{}, atOnce())
				if err != nil {
					return err
				}
				if c.Bool("sessions") {
					return sessions(ctx, c, response)
				}
				// The launcher knows best on which socket it lets runtime serve.
				limited, cancel := context.WithTimeout(ctx, memberLimit)
				defer cancel()
				runtime, asked := activity.Ask(limited, response.GetCriSocket())
				return write(c, report.New(response, runtime, asked, time.Now()))
			})
		},
	})
}

// sessions shows what streamer has open. The launcher knows on which socket it
// serves.
func sessions(ctx context.Context, c *cli.Context, status *launcherv1.StatusResponse) error {
	for _, member := range status.GetMembers() {
		if member.GetName() != "streamer" {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, memberLimit)
		defer cancel()
		if member.GetSocket() == "" {
			return errors.New("the launcher is of an older version, which does not say where streamer serves: restart it")
		}
		list, err := activity.Sessions(limited, member.GetSocket())
		if err != nil {
			// Not the launcher's silence, which its caller would make of the kind.
			return errors.New(err.Error())
		}
		return write(c, report.NewSessions(list, time.Now()))
	}
	return errors.New("the launcher has no member streamer")
}

// write writes a report as the user wants it.
func write(c *cli.Context, r interface {
	WriteJSON(io.Writer) error
	WriteTable(io.Writer) error
},
) error {
	if c.Bool("json") {
		return r.WriteJSON(c.App.Writer)
	}
	return r.WriteTable(c.App.Writer)
}
