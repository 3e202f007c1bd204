package pod

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/telemetry"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	"github.com/trivet-cri/trivet/runtime/catalog"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/namespaces"
	"github.com/trivet-cri/trivet/runtime/network"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/podfiles"
	"github.com/trivet-cri/trivet/runtime/selinux"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// Records keeps pods; *engine.Engine does.
type Records interface {
	CreatePod(ctx context.Context, pod engine.PodRecord, handler config.Handler) error
	UpdatePod(ctx context.Context, id string, record *recordv1.Pod) error
	DeletePod(ctx context.Context, id string) error
	ListPods(ctx context.Context) ([]engine.PodRecord, error)
}

// Pins keeps namespaces; *namespaces.Pins does.
type Pins interface {
	Create(ctx context.Context, r namespaces.Request) (namespaces.Paths, error)
	Apply(ctx context.Context, r namespaces.Request) error
	Paths(id string) (paths namespaces.Paths, alive bool, err error)
	Remove(ctx context.Context, id string) error
	List() ([]string, error)
}

// Files keeps pods' files; *podfiles.Store does.
type Files interface {
	Create(ctx context.Context, id string, pod *runtimeapi.PodSandboxConfig, r podfiles.Request) (podfiles.Files, error)
	Paths(id string) podfiles.Files
	Exists(id string) (bool, error)
	Remove(ctx context.Context, id string) error
	List() ([]string, error)
}

// Network attaches pods; *network.Network does.
type Network interface {
	Attach(ctx context.Context, id string, config *runtimeapi.PodSandboxConfig, netns, confDir string) (network.Attachment, error)
	Detach(ctx context.Context, id string, config *runtimeapi.PodSandboxConfig) error
	Sweep(ctx context.Context, ids []string, asOf time.Time) ([]string, error)
}

// Handlers tells what runtime handlers can do; *handler.Handlers does.
type Handlers interface {
	Features(ctx context.Context, name string) (spec.Features, error)
}

// Service is the pods of one node.
type Service struct {
	Deps
	pods       *catalog.Catalog[*Pod]
	operations *operation.Operations

	mu          sync.Mutex
	quarantined map[string]error  // records that cannot be read, by id
	byKey       map[string]string // ids by metadata
	closed      bool              // no more work begins

	// life ends after the last operation; what watches sandboxes is counted in
	// work.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup
}

// Deps are what a service is made of.
type Deps struct {
	Config    config.Runtime
	Systemd   bool // cgroups are made through systemd
	Host      spec.Host
	BootID    string
	Records   Records
	Pins      Pins
	Files     Files
	Network   Network
	Pauses    Holder // pause containers
	Sandboxes Sandboxes
	Handlers  Handlers
	Hooks     Hooks           // nil for none
	Labels    *selinux.Labels // nil without SELinux
	Log       *slog.Logger
}

// undoLimit bounds what a failed start of a pod undoes.
const undoLimit = time.Minute

// New returns a service without pods; Recover finds those that exist.
func New(deps Deps) *Service {
	if deps.Hooks == nil {
		deps.Hooks = NoHooks{}
	}
	s := &Service{
		Deps: deps, pods: catalog.New[*Pod]("pod"), operations: operation.New(),
		quarantined: make(map[string]error), byKey: make(map[string]string),
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Close cancels what still runs and waits for its end.
func (s *Service) Close() {
	s.operations.Close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.work.Wait()
}

// Get returns a pod by id or the unique start of one. Errors: NotFound,
// InvalidArgument.
func (s *Service) Get(id string) (*Pod, error) { return s.pods.Get(id) }

// All are the pods by id. It must not be changed.
func (s *Service) All() map[string]*Pod { return s.pods.All() }

// Running are the operations under way.
func (s *Service) Running() []operation.Status { return s.operations.List() }

// Quarantine returns the records that could not be read, and why. They can be
// removed by RemovePodSandbox.
func (s *Service) Quarantine() map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.quarantined)
}

// logger has what identifies the pod.
func (s *Service) logger(id string, config *runtimeapi.PodSandboxConfig) *slog.Logger {
	m := config.GetMetadata()
	return s.Log.With(telemetry.PodFields(id, m.GetNamespace(), m.GetName(), m.GetUid())...)
}
