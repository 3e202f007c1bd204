// Package launch is `trivet run`: it wires the launcher and runs it until it
// is asked to stop.
//
// The launcher's own socket is bound first: whoever holds it owns the state
// directory, so a second launcher ends with an error before it touches
// anything. What can never succeed (a bad configuration, a missing program, a
// port that is taken) is an error too; whatever may still come right, such as
// a containerd that is not there yet, is waited for.
package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/metrics"
	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/internal/version"
	"github.com/trivet-cri/trivet/launcher/api"
	"github.com/trivet-cri/trivet/launcher/endpoint"
	"github.com/trivet-cri/trivet/launcher/group"
	"github.com/trivet-cri/trivet/launcher/notify"
	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/scrape"
	"github.com/trivet-cri/trivet/launcher/supervisor"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

const (
	service = "trivet-launcher"
	// inheritLimit bounds the wait for the processes of a launcher that was
	// killed: the kernel ends them, which takes milliseconds.
	inheritLimit = 10 * time.Second
	// releaseLimit bounds the removal of sockets at the end, callLimit how long
	// callers of the API may take to get their last answer.
	releaseLimit = 5 * time.Second
	callLimit    = 2 * time.Second
)

// Options are what the command line and the parent process give.
type Options struct {
	Source    group.Source
	Inherited listen.Inherited
	// Log takes the lines of the launcher and its members.
	Log io.Writer
}

// Run runs the launcher until SIGTERM, SIGINT or the end of ctx, and returns
// when every member has ended.
func Run(ctx context.Context, options Options) (err error) {
	settings, err := options.Source.Read()
	if err != nil {
		return err
	}
	output := process.NewOutput(options.Log)
	log, err := telemetry.Logger(output, settings.Config.Log, service)
	if err != nil {
		return err
	}
	flush, err := telemetry.Start(ctx, settings.Config.Tracing, service, version.String())
	if err != nil {
		return err
	}
	defer flush()
	var held undo.Stack
	defer func() { err = errors.Join(err, held.Run(ctx, releaseLimit)) }()
	path := settings.Config.LauncherSocket()
	listener, err := listen.BindUnix(path)
	if err != nil {
		return err
	}
	held.Add("launcher socket", func(context.Context) error { _ = listener.Close(); return os.Remove(path) })
	endpoints, err := open(ctx, settings, options.Inherited, log)
	if err != nil {
		return err
	}
	held.Add("endpoints", func(context.Context) error { return endpoints.Close() })
	exposed, err := listenMetrics(settings.Config.Metrics.Address, &held)
	if err != nil {
		return err
	}
	planner := &group.Planner{CRI: endpoints.CRI(), Stream: endpoints.Stream()}
	plan, err := planner.Plan(settings)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version.String(), "pid", os.Getpid(), "config", options.Source.Path(),
		"cri", endpoints.CRIAddress(), "stream", endpoints.StreamAddress())

	// From here on a signal has something to stop.
	signals := takeSignals()
	defer signals.release()
	notifier := notify.New(log)
	members := supervisor.New(plan, machine{output}, notifier, log)
	l := &launcher{
		log: log, signals: signals, notifier: notifier, members: members, listener: listener,
		exposed: exposed, gatherer: scrape.New(settings.Config.State, members, log),
		reloader: group.NewReloader(options.Source, settings, planner, members, notifier),
		server:   rpc.NewServer(log),
	}
	launcherv1.RegisterLauncherServer(l.server, api.NewServer(members, l.reloader, api.About{
		ConfigPath: options.Source.Path(), CRISocket: endpoints.CRIAddress(), StartedAt: time.Now(),
	}))
	return l.run(ctx)
}

// open waits for what a killed launcher has left and opens the endpoints.
func open(ctx context.Context, settings *group.Settings, inherited listen.Inherited, log *slog.Logger) (*endpoint.Endpoints, error) {
	ctx, cancel := context.WithTimeout(ctx, inheritLimit)
	defer cancel()
	for name := range inherited {
		if name != endpoint.CRI && name != endpoint.Stream {
			log.Warn("inherited socket is not used", "name", name, "known", []string{endpoint.CRI, endpoint.Stream})
		}
	}
	cfg := settings.Config
	sockets := []string{cfg.HealthSocket(), cfg.StreamerSocket(), cfg.NetSyncSocket()}
	if len(inherited[endpoint.CRI]) == 0 {
		sockets = append(sockets, cfg.CRISocket())
	}
	if err := endpoint.AwaitUnserved(ctx, sockets...); err != nil {
		return nil, err
	}
	return endpoint.Open(ctx, cfg, inherited)
}

// listenMetrics returns nil for no address.
func listenMetrics(address string, held *undo.Stack) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	held.Add("metrics listener", func(context.Context) error { _ = listener.Close(); return nil })
	return listener, nil
}

// launcher is everything that runs.
type launcher struct {
	log      *slog.Logger
	signals  *signals
	notifier *notify.Notifier
	members  *supervisor.Supervisor
	reloader *group.Reloader
	server   *rpc.Server
	listener net.Listener
	exposed  net.Listener // nil without metrics
	gatherer *scrape.Gatherer
}

// run runs until a signal or the end of ctx. The API answers until the last
// member has ended.
func (l *launcher) run(ctx context.Context) error {
	tasks, ctx := errgroup.WithContext(ctx)
	supervising, stop := context.WithCancel(ctx)
	defer stop()
	serving, endServing := context.WithCancel(context.WithoutCancel(ctx))
	defer endServing()
	tasks.Go(func() error {
		l.signals.awaitStop(supervising)
		l.log.Info("stopping the group")
		l.notifier.Stopping()
		stop()
		return nil
	})
	tasks.Go(func() error {
		l.signals.onReload(supervising, func() { l.reload(supervising) })
		return nil
	})
	tasks.Go(func() error {
		defer endServing()
		l.members.Run(supervising)
		return nil
	})
	tasks.Go(func() error {
		return l.notifier.Watch(serving, func() { l.members.Snapshot() })
	})
	if l.exposed != nil {
		tasks.Go(func() error { return metrics.Serve(serving, l.exposed, l.gatherer, l.log) })
	}
	tasks.Go(func() error {
		l.server.SetReady()
		return l.server.ServeUntil(serving, l.listener, callLimit)
	})
	if err := tasks.Wait(); err != nil {
		return fmt.Errorf("launcher: %w", err)
	}
	l.log.Info("stopped")
	return nil
}

// reload is what SIGHUP does. Nobody waits for its error, so it ends here.
func (l *launcher) reload(ctx context.Context) {
	if _, err := l.reloader.Reload(ctx); err != nil {
		l.log.Error("configuration not reloaded", "error", err.Error())
	}
}
