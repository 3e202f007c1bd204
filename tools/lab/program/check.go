package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/tools/lab/part"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:        "check",
		Usage:       "say which parts are present and which are missing",
		Description: "The exit status is 0 if nothing is missing.",
		Action: func(c *cli.Context) error {
			s, err := store(c)
			if err != nil {
				return err
			}
			missing := 0
			for _, p := range part.Parts() {
				where, err := p.Find(s)
				switch {
				case errors.Is(err, part.ErrMissing):
					where = "missing"
					missing++
				case err != nil:
					return fmt.Errorf("find %s: %w", p.Name(), err)
				}
				_, _ = fmt.Fprintf(c.App.Writer, "%-34s %s\n", p.Name(), where)
			}
			if missing > 0 {
				return fmt.Errorf("%d parts are missing: tools/lab/lab build", missing)
			}
			return nil
		},
	}
}
