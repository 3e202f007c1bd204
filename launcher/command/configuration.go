package command

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/launcher/group"
)

func configuration() *cli.Command {
	return &cli.Command{
		Name:            "config",
		Usage:           "show and check the configuration",
		HideHelpCommand: true,
		Action:          noCommand,
		OnUsageError:    usageError,
		Subcommands: []*cli.Command{
			leaf(0, &cli.Command{
				Name:   "default",
				Usage:  "print the default configuration, with a comment for every key",
				Action: func(c *cli.Context) error { return config.Default().Write(c.App.Writer) },
			}),
			leaf(1, &cli.Command{
				Name:      "check",
				Usage:     "name file, line and key of every mistake in the configuration",
				ArgsUsage: "[FILE]",
				Flags:     []cli.Flag{configFlag()},
				Action:    check,
			}),
			migrate(),
		},
	}
}

// check reads one file, named by the argument or by --config.
func check(c *cli.Context) error {
	from := source(c)
	if c.Args().Present() {
		if from != "" {
			return errors.New("both an argument and --config name a file")
		}
		from = group.Source(c.Args().First())
	}
	_, err := from.Read()
	if unreadable := (*fs.PathError)(nil); errors.As(err, &unreadable) {
		return err
	}
	if err != nil {
		// Each mistake begins its line, as editors expect it.
		return fmt.Errorf("mistakes in the configuration:\n%w", err)
	}
	_, err = fmt.Fprintf(c.App.Writer, "%s: ok\n", from.Path())
	return err
}
