package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/trivet-cri/trivet/tools/lab/up"
)

func upCommand() *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "start a lab and run it until standard input is closed, or SIGTERM or SIGINT comes",
		Description: "Prints one line of JSON that says where everything is, once all parts answer.\n" +
			"At the end everything is removed but the log files in the directory.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", Required: true, Usage: "keep state and logs in `DIR`; a short path, for sockets are made below it"},
			&cli.BoolFlag{Name: "cri", Usage: "enable containerd's built-in CRI plugin"},
			&cli.StringFlag{Name: "cri-config", Usage: "lay the TOML `FILE` over the lab's settings of the built-in CRI plugin's runtime part"},
			&cli.BoolFlag{Name: "jaeger", Usage: "run Jaeger, and let containerd send its spans there"},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			s, err := store(c)
			if err != nil {
				return err
			}
			slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
			ctx, cancel := context.WithCancel(c.Context)
			defer cancel()
			watchInput(os.Stdin, cancel)
			options := up.Options{
				Dir: c.String("dir"), CRI: c.Bool("cri"), CRIConfig: c.String("cri-config"), Jaeger: c.Bool("jaeger"), Parts: s,
			}
			return up.Run(ctx, options, c.App.Writer)
		},
	}
}

// watchInput calls closed when input ends. The reading goroutine cannot be
// stopped; it ends with the process.
func watchInput(input io.Reader, closed func()) {
	go func() {
		_, _ = io.Copy(io.Discard, input)
		closed()
	}()
}
