// Package member is the common main of the supervised processes.
//
// A member reads the one configuration file, starts logs and traces, and
// runs until SIGTERM or SIGINT; its Run function gets a context that ends
// then. Returning early, with or without an error, ends the process: the
// launcher decides what follows.
package member

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/version"
)

// Env is what a member's wiring starts from.
type Env struct {
	Config    *config.Config
	Log       *slog.Logger
	Inherited listen.Inherited
}

// Main runs a member called name ("runtime", ...) and exits the process.
func Main(name, usage string, run func(context.Context, Env) error) {
	inherited := listen.FromParent()
	service := "trivet-" + name
	app := &cli.App{
		Name:    service,
		Usage:   usage,
		Version: version.String(),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration file (default: " + config.DefaultPath + ", if it exists)"},
		},
		HideHelpCommand: true,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("unexpected argument %q", c.Args().First())
			}
			return start(c.Context, c.String("config"), service, inherited, run)
		},
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := app.RunContext(ctx, os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", service, err)
		os.Exit(1)
	}
}

func start(ctx context.Context, path, service string, inherited listen.Inherited, run func(context.Context, Env) error) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	log, err := telemetry.Logger(os.Stderr, cfg.Log, service)
	if err != nil {
		return err
	}
	flush, err := telemetry.Start(ctx, cfg.Tracing, service, version.String())
	if err != nil {
		return err
	}
	defer flush()
	log.Info("starting", "version", version.String(), "pid", os.Getpid())
	err = run(ctx, Env{Config: cfg, Log: log, Inherited: inherited})
	if err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}
