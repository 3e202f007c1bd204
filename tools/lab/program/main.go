// Lab builds, starts and stops what the tests run on: an isolated containerd,
// CNI plugins, a local registry with test images, Jaeger.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tools/lab/part"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := app().RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		os.Exit(1)
	}
}

func app() *cli.App {
	return &cli.App{
		Name:            "lab",
		HelpName:        "tools/lab/lab",
		Usage:           "what the tests run on: containerd, runc, CNI plugins, a registry, Jaeger",
		HideVersion:     true,
		Commands:        []*cli.Command{buildCommand(), upCommand(), checkCommand()},
		ExitErrHandler:  func(*cli.Context, error) {}, // main reports
		HideHelpCommand: true,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("no command is called %q", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// store is where parts are. The script that starts the program says so.
func store(c *cli.Context) (part.Store, error) {
	source, cache := os.Getenv("TRIVET_LAB_SOURCE"), os.Getenv("TRIVET_CACHE")
	if source == "" || cache == "" {
		return part.Store{}, fmt.Errorf("TRIVET_LAB_SOURCE and TRIVET_CACHE are not set: start tools/lab/lab")
	}
	return part.Store{Source: source, Cache: filepath.Join(cache, "lab"), Out: c.App.ErrWriter}, nil
}
