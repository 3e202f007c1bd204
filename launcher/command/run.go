package command

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/launcher/launch"
)

func run(inherited listen.Inherited) *cli.Command {
	return leaf(0, &cli.Command{
		Name:  "run",
		Usage: "run the launcher: start and watch the runtime, the streamer and netsync",
		Description: "Runs in the foreground and logs to standard error, the members' lines included.\n" +
			"SIGTERM or SIGINT stops the group, a second one kills it; containers keep running.\n" +
			"SIGHUP reads the configuration again, as `trivet reload` does.\n" +
			"Under systemd it takes the sockets named cri and stream from socket units.",
		Flags: []cli.Flag{configFlag()},
		Action: func(c *cli.Context) error {
			return launch.Run(c.Context, launch.Options{Source: source(c), Inherited: inherited, Log: os.Stderr})
		},
	})
}
