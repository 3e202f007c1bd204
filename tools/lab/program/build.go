package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/tools/lab/part"
)

func buildCommand() *cli.Command {
	return &cli.Command{
		Name:  "build",
		Usage: "build or install all parts, at pinned versions, as far as they are missing",
		Description: "The first run takes about ten minutes. Parts lie in ${TRIVET_CACHE:-~/.cache/trivet}/lab.\n" +
			"Debian packages that a build needs are installed if they are missing.",
		Flags: []cli.Flag{&cli.StringSliceFlag{Name: "only", Usage: "build only the `PARTS`, separated by commas; see check"}},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			s, err := store(c)
			if err != nil {
				return err
			}
			parts, err := part.Select(c.StringSlice("only"))
			if err != nil {
				return err
			}
			return s.Build(c.Context, parts)
		},
	}
}
