// Package nri lets plugins of the Node Resource Interface take part in the
// lives of pods and containers.
//
//	pod, container ─▶ Hooks ─▶ Plugins ─┬─ ask:  run, create, start, update     waits, may refuse
//	                                    └─ tell: created, stopped, removed ...  queued, waits a while
//	                                          │ one at a time
//	                                          ▼
//	                                    NRI's adaptation ─▶ intercept ─▶ door ─┬─ nri.sock: plugins that come by themselves
//	                                                                           └─ programs of plugin_path
//
// NRI's own library calls the plugins, one hook at a time on the whole node.
// All plugins together (but for those in WebAssembly, which have it each) have
// plugin_request_timeout for a hook: a slow one delays
// the hooks behind it by that at most, and is then dropped. Who was not reached
// for the slowness of others is passed over and stays. So creations and starts
// wait for plugins, and nothing else does: lists and statuses take no part, and
// whatever ends or removes something only waits a while for its plugins to be
// told; they are told later, in the order in which it happened.
//
// Invariant: what plugins know, by synchronization or by hooks, is what Plugins
// keeps (told): each plugin hears of each pod and container once, whether it
// came before or after. After a restart of this process what exists is told,
// not created again.
//
// Required plugins fail closed: while one is not registered, or when one does
// not answer a hook that it has subscribed to, or was not reached, that hook
// fails with errdefs.ErrUnavailable, and so nothing is created or started. Other
// plugins may come and go. A plugin that the library has dropped is back once it
// registers again. A program of plugin_path that ends, or is dropped, is started
// again, after a pause that grows; those in WebAssembly run within the library,
// which loads them once.
//
// A socket that cannot be listened on, or a bad plugin directory, is logged and
// tried again: it ends no process, as pods can be served without plugins.
package nri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	nrilog "github.com/containerd/nri/pkg/log"
	"github.com/containerd/ttrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/listen"
	"github.com/trivet-cri/trivet/internal/undo"
	"github.com/trivet-cri/trivet/internal/version"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Specs reads containers' OCI specs; *engine.Engine does.
type Specs interface {
	ContainerSpec(ctx context.Context, id string) (*specs.Spec, error)
}

// Pods are those that exist; *pod.Service has them.
type Pods interface {
	All() map[string]*pod.Pod
}

// Containers are those that exist, and what plugins may have done to them;
// *container.Service does.
type Containers interface {
	All() map[string]*container.Container
	// Adjust changes limits without asking plugins about it.
	Adjust(ctx context.Context, c *container.Container, resources *runtimeapi.LinuxContainerResources) error
	Stop(ctx context.Context, c *container.Container, timeout time.Duration) error
}

// Classes resolves the RDT and block I/O classes that plugins name;
// *classes.Classes does. Zero results mean that the container does without.
type Classes interface {
	NamedRDT(class string) (closID string, err error)
	NamedBlockIO(class string) (*specs.LinuxBlockIO, error)
}

// Deps are what Plugins is made of.
type Deps struct {
	Config  config.NRI
	Socket  string // on which plugins register
	Runtime config.Runtime
	Host    spec.Host
	Specs   Specs
	CDI     spec.CDI
	Classes Classes
	Log     *slog.Logger
}

// Plugins are the plugins of one node. All methods may be called concurrently,
// but Run only once; hooks wait for it.
type Plugins struct {
	Deps
	peers *peers
	told  *told
	tells *queue
	turn  chan struct{} // holds a token while a hook runs

	begun      chan struct{} // closed when the first start of the library is over
	launching  chan struct{} // holds a token while a program has not registered yet
	mu         sync.Mutex
	nri        *adaptation.Adaptation // nil while it could not be started
	door       *door                  // as nri; set before a program is launched
	containers Containers             // set before begun is closed
	work       sync.WaitGroup
	closed     bool // no more work begins
}

// useLog has the library, whose log is one for all, write into a log of ours.
var useLog sync.Once

// New returns plugins of which none is connected yet: Run does that.
func New(deps Deps) *Plugins {
	useLog.Do(func() { nrilog.Set(logger{deps.Log.With("from", "nri")}) })
	p := &Plugins{
		Deps: deps, told: newTold(), tells: newQueue(),
		turn: make(chan struct{}, 1), begun: make(chan struct{}), launching: make(chan struct{}, 1),
	}
	p.peers = newPeers(p.evict)
	return p
}

const (
	// retryPause is the pause between attempts to start the library.
	retryPause = 5 * time.Second
	// updateLimit bounds all changes of containers that one answer asks for.
	updateLimit = 30 * time.Second
)

// Run serves plugins until ctx ends. What exists must have been recovered
// before. It only ends with ctx, and no program that it has started outlives it.
func (p *Plugins) Run(ctx context.Context, pods Pods, containers Containers) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	p.containers = containers
	p.told.seed(pods.All(), containers.All())
	adaptation.SetPluginRegistrationTimeout(p.Config.PluginRegistrationTimeout.Std())
	adaptation.SetPluginRequestTimeout(p.Config.PluginRequestTimeout.Std())
	p.work.Go(func() { p.tells.run(life) })
	begin := sync.OnceFunc(func() { close(p.begun) })
	closing := func() {}
	for ctx.Err() == nil {
		closer, err := p.start(life, begin)
		if err == nil {
			closing = closer
			<-ctx.Done()
			break
		}
		p.Log.ErrorContext(ctx, "NRI plugins cannot be served yet", "error", err)
		begin()
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
	begin()
	end()
	closing()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.peers.close()
	p.work.Wait()
	return nil
}

// background has the end of Run wait for work; once that has come, no more
// begins, and what was there to be worked on is left.
func (p *Plugins) background(work func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.work.Go(work)
	}
}

// start starts the library and the programs of plugin_path, and lets plugins
// in. begun is called when each program has had its chance to register. The
// result ends all but the programs, which end with life.
func (p *Plugins) start(life context.Context, begun func()) (closing func(), err error) {
	started, loaded, err := p.programs()
	if err != nil {
		return nil, err
	}
	private, err := newRoom(p.Socket)
	if err != nil {
		return nil, err
	}
	var made undo.Stack
	made.Add("private directory", func(context.Context) error { private.clear(); return nil })
	defer func() {
		if err != nil {
			err = errors.Join(err, made.Run(life, time.Second))
		}
	}()
	if err := private.hold(loaded); err != nil {
		return nil, err
	}
	door := &door{peers: p.peers, inner: private.socket(), turn: make(chan struct{}, 1)}
	var listener net.Listener
	if !p.Config.DisableConnections {
		if listener, err = listen.BindUnix(p.Socket); err != nil {
			return nil, fmt.Errorf("serve NRI socket: %w", err)
		}
		made.Add("socket", func(context.Context) error { return listener.Close() })
	}
	library, err := p.library(life, private)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.door, p.nri = door, library
	p.mu.Unlock()
	if listener != nil {
		p.work.Go(func() {
			door.serve(life, listener, p.background, func(err error) { p.Log.WarnContext(life, "NRI plugin cannot connect", "error", err) })
		})
	}
	p.launchAll(life, started, begun)
	return func() {
		library.Stop()
		if err := made.Run(context.WithoutCancel(life), time.Second); err != nil {
			p.Log.WarnContext(life, "NRI is not closed cleanly", "error", err)
		}
	}, nil
}

// launchAll keeps all programs running.
func (p *Plugins) launchAll(life context.Context, all []program, begun func()) {
	var firsts sync.WaitGroup
	for _, one := range all {
		firsts.Add(1)
		first := sync.OnceFunc(firsts.Done)
		p.work.Go(func() { p.keep(life, one, first) })
	}
	p.work.Go(func() {
		firsts.Wait()
		begun()
	})
}

// library starts NRI's own code.
func (p *Plugins) library(life context.Context, private *room) (*adaptation.Adaptation, error) {
	library, err := adaptation.New("trivet", version.String(), p.synchronize, p.update,
		adaptation.WithPluginPath(private.programs()), adaptation.WithPluginConfigPath(p.Config.PluginConfigPath),
		adaptation.WithSocketPath(private.socket()), adaptation.WithMetrics(metrics{p.peers}),
		adaptation.WithDefaultValidator(validator(p.Config.Validator)),
		adaptation.WithTTRPCOptions(
			[]ttrpc.ClientOpts{func(c *ttrpc.Client) { p.connected(life, c) }},
			[]ttrpc.ServerOpt{forEach(func() ttrpc.ServerOpt { return ttrpc.WithUnaryServerInterceptor(p.peers.newest().serve) })}),
	)
	if err != nil {
		return nil, fmt.Errorf("start NRI: %w", err)
	}
	if err := library.Start(); err != nil {
		return nil, fmt.Errorf("start NRI: %w", err)
	}
	return library, nil
}

// connected follows the connection to a plugin from its first instant.
func (p *Plugins) connected(life context.Context, client *ttrpc.Client) {
	one := p.peers.add(client)
	ttrpc.WithUnaryClientInterceptor(one.intercept)(client)
	p.background(func() {
		_ = client.UserOnCloseWait(life)
		if name := p.peers.remove(one); name != "" && life.Err() == nil {
			p.Log.WarnContext(life, "NRI plugin has gone", "plugin", name, "required", p.required(name))
		}
	})
}

// logger has the library log as we do.
type logger struct{ log *slog.Logger }

func (l logger) Debugf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, args...))
}

// Infof is for people who look for a fault in a plugin: the node's state has
// not changed by it.
func (l logger) Infof(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, fmt.Sprintf(format, args...))
}

func (l logger) Warnf(ctx context.Context, format string, args ...any) {
	l.log.WarnContext(ctx, fmt.Sprintf(format, args...))
}

func (l logger) Errorf(ctx context.Context, format string, args ...any) {
	l.log.ErrorContext(ctx, fmt.Sprintf(format, args...))
}
