// Package member is the common main of the supervised processes.
//
// A member reads the one configuration file, starts logs, traces and metrics,
// and runs until SIGTERM or SIGINT; its Run function gets a context that ends
// then. Returning early, with or without an error, ends the process: the
// launcher decides what follows.
package member

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/metrics"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/version"
)

// Env is what a member's wiring starts from.
type Env struct {
	Config    *config.Config
	Log       *slog.Logger
	Inherited listen.Inherited
	// Metrics is where the member's own collectors go.
	Metrics prometheus.Registerer
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
			return start(c.Context, c.String("config"), name, inherited, run)
		},
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := app.RunContext(ctx, os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", service, err)
		os.Exit(1)
	}
}

func start(ctx context.Context, path, name string, inherited listen.Inherited, run func(context.Context, Env) error) error {
	service := "trivet-" + name
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
	registry := metrics.New()
	stop := serve(ctx, cfg.State, name, registry, log)
	defer stop()
	err = run(ctx, Env{Config: cfg, Log: log, Inherited: inherited, Metrics: registry})
	if err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// serve serves the process's metrics until the returned function is called.
// A member does its work without them, too.
func serve(ctx context.Context, state, name string, registry *prometheus.Registry, log *slog.Logger) (stop func()) {
	listener, socket, err := metrics.Listen(state, name)
	if err != nil {
		log.WarnContext(ctx, "metrics are not served", "error", err)
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := metrics.Serve(ctx, listener, registry, log); err != nil {
			log.WarnContext(ctx, "metrics are not served", "error", err)
		}
	})
	return func() {
		cancel()
		serving.Wait()
		if err := socket.Remove(); err != nil {
			log.WarnContext(ctx, "socket of metrics is left", "error", err)
		}
	}
}
