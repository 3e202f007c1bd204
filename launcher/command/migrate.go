package command

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/launcher/migration"
)

func migrate() *cli.Command {
	return leaf(1, &cli.Command{
		Name:      "migrate",
		Usage:     "turn containerd's configuration into Trivet's",
		ArgsUsage: "FILE",
		Description: "FILE is containerd's config.toml, of version 1 to 4; what it imports is read, too.\n" +
			"Trivet's configuration goes to standard output. Standard error says of each key that\n" +
			"has no counterpart what to do instead, or why nothing needs to be done.",
		Flags: []cli.Flag{&cli.IntFlag{
			Name:  "release",
			Usage: "containerd's major release, `1 or 2`, whose defaults count (default: 1 for files of version 1 and 2, else 2)",
		}},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return errors.New("name containerd's configuration file, such as /etc/containerd/config.toml")
			}
			result, err := migration.Migrate(c.Args().First(), c.Int("release"))
			if err != nil {
				return err
			}
			if err := result.WriteConfig(c.App.Writer); err != nil {
				return err
			}
			return result.WriteReport(c.App.ErrWriter)
		},
	})
}
