// Package command is the user's command line: trivet COMMAND.
//
// `trivet run` is the launcher itself. The commands that ask a running
// launcher find it by the configuration's launcher socket, answer within a
// deadline, and end with an error that names the socket if nobody is there.
package command

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/version"
	"github.com/trivet-cri/trivet/launcher/group"
)

// App is the whole command line. inherited are the listeners for `run`.
func App(inherited listen.Inherited) *cli.App {
	return &cli.App{
		Name:            "trivet",
		Usage:           "serve the Kubernetes Container Runtime Interface on top of containerd",
		Version:         version.String(),
		HideHelpCommand: true,
		Action:          noCommand,
		// The caller decides about the exit; cli would end the process.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   usageError,
		Commands: []*cli.Command{
			run(inherited), status(), restart(), reload(), configuration(),
		},
	}
}

// noCommand is the action of a command that only has subcommands.
func noCommand(c *cli.Context) error {
	if c.Args().Present() {
		return fmt.Errorf("unknown command %q; see %s --help", c.Args().First(), c.Command.HelpName)
	}
	return cli.ShowSubcommandHelp(c)
}

// usageError keeps cli from printing the whole help over the one mistake.
func usageError(c *cli.Context, err error, _ bool) error {
	return fmt.Errorf("%w; see %s --help", err, c.Command.HelpName)
}

// leaf completes a command without subcommands: it takes no arguments
// beyond most.
func leaf(most int, c *cli.Command) *cli.Command {
	c.HideHelpCommand = true
	c.OnUsageError = usageError
	action := c.Action
	c.Action = func(ctx *cli.Context) error {
		if ctx.Args().Len() > most {
			return fmt.Errorf("unexpected argument %q; see %s --help", ctx.Args().Get(most), ctx.Command.HelpName)
		}
		return action(ctx)
	}
	return c
}

func configFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "config", Aliases: []string{"c"}, TakesFile: true,
		Usage: "configuration `FILE` (default: " + config.DefaultPath + ", if it exists)",
	}
}

func source(c *cli.Context) group.Source { return group.Source(c.String("config")) }
