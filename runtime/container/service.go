package container

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/singleflight"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/telemetry"
	recordv1 "github.com/trivet-cri/trivet/proto/record/v1"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/catalog"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/imagevolume"
	"github.com/trivet-cri/trivet/runtime/mountsfile"
	"github.com/trivet-cri/trivet/runtime/notifier"
	"github.com/trivet-cri/trivet/runtime/ocihooks"
	"github.com/trivet-cri/trivet/runtime/operation"
	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/selinux"
	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/tuning"
)

// Records keeps containers; *engine.Engine does.
type Records interface {
	CreateContainer(ctx context.Context, c engine.ContainerRecord, s *specs.Spec, handler config.Handler) error
	UpdateContainer(ctx context.Context, id string, record *recordv1.Container) error
	DeleteContainer(ctx context.Context, id string) error
	ListContainers(ctx context.Context) ([]engine.ContainerRecord, error)
}

// Snapshots keeps containers' file systems; *engine.Engine does.
type Snapshots interface {
	PrepareRootfs(ctx context.Context, snapshotter, key, chainID string, labels map[string]string) ([]mount.Mount, error)
	RootfsMounts(ctx context.Context, snapshotter, key string) ([]mount.Mount, error)
	RemoveRootfs(ctx context.Context, snapshotter, key string) error
	WithImage(ctx context.Context, snapshotter, chainID string, read func(root string) error) error
}

// Tasks runs containers; *engine.Engine does.
type Tasks interface {
	CreateTask(ctx context.Context, id string, rootfs []mount.Mount, io engine.TaskIO, runtimePath string) (pid int, err error)
	StartTask(ctx context.Context, id string) (pid int, err error)
	KillTask(ctx context.Context, id string, signal unix.Signal, all bool) error
	DeleteTask(ctx context.Context, id string) error
	GetTask(ctx context.Context, id string) (engine.Task, error)
	UpdateTask(ctx context.Context, id string, resources *specs.LinuxResources, annotations map[string]string) error
	WatchTasks(ctx context.Context, begun func(), seen func(engine.TaskEvent)) error
}

// Streams has the FIFOs and logs; streamerv1.StreamerClient has.
type Streams interface {
	OpenIO(ctx context.Context, r *streamerv1.OpenIORequest, opts ...grpc.CallOption) (*streamerv1.OpenIOResponse, error)
	CloseIO(ctx context.Context, r *streamerv1.CloseIORequest, opts ...grpc.CallOption) (*streamerv1.CloseIOResponse, error)
	Sweep(ctx context.Context, r *streamerv1.SweepRequest, opts ...grpc.CallOption) (*streamerv1.SweepResponse, error)
}

// Images resolves and unpacks; *image.Service does.
type Images interface {
	Resolve(ctx context.Context, ref string) (image.Image, error)
	EnsureUnpacked(ctx context.Context, image image.Image, snapshotter string) error
	Artifact(ctx context.Context, ref string, limit int64) (blob []byte, byDigest string, err error)
}

// Pods finds pods; *pod.Service does.
type Pods interface {
	Get(id string) (*pod.Pod, error)
	PauseExited(ctx context.Context, id string) bool
}

// Handlers tells what runtime handlers can do; *handler.Handlers does.
type Handlers interface {
	Features(ctx context.Context, name string) (spec.Features, error)
}

// Deps are what a service is made of.
type Deps struct {
	Config      config.Runtime
	Snapshotter string // of handlers that name none
	Systemd     bool   // cgroups are made through systemd
	StateDir    string // for the started marks; cleared by a reboot
	VolumeDir   string // for volumes that images declare
	NotifierDir string // for sockets of seccomp's filters; cleared by a reboot
	// CheckpointDir is for checkpoints that are taken or will be restored,
	// JournalDir for notes of those under way.
	CheckpointDir, JournalDir string

	Host  spec.Host
	CDI   spec.CDI
	Bases map[string]*specs.Spec // base specs of handlers, by handler
	// OCIHooks are the node's; nil for none.
	OCIHooks *ocihooks.Hooks
	// DefaultMounts are those of all containers.
	DefaultMounts []mountsfile.Mount
	Classes       spec.Classes    // of RDT and block I/O, nil for none
	Labels        *selinux.Labels // nil without SELinux; those of Pods

	Records   Records
	Specs     Specs
	Snapshots Snapshots
	Tasks     Tasks
	// KillShim ends the shims of a container, and tells how many there were.
	KillShim func(id string) (int, error)
	// PinShim has the shim of a container that runs stay where the
	// configuration wants it.
	PinShim      func(ctx context.Context, id string, handler config.Handler, pod map[string]string)
	Streams      Streams
	Images       Images
	ImageVolumes *imagevolume.Store
	Pods         Pods
	Handlers     Handlers
	Tuning       *tuning.Tuner

	CRIU     CRIU
	Freezer  Freezer
	Dumper   Dumper
	Restorer Restorer
	Puller   Puller

	Hooks Hooks // nil for none
	Log   *slog.Logger
}

// undoLimit bounds what a failed creation or start undoes.
const undoLimit = 30 * time.Second

// Service is the containers of one node.
type Service struct {
	Deps
	containers  *catalog.Catalog[*Container]
	operations  *operation.Operations
	marks       marks
	notifiers   *notifier.Notifiers
	checkpoints checkpoints
	accounts    accounts

	// life ends after the last caller is gone; the goroutines that watch
	// exits are counted in work.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu          sync.Mutex
	closed      bool                              // no more work begins
	quarantined map[string]error                  // records that cannot be read, by id
	byKey       map[string]string                 // ids by metadata
	orphaned    map[string]engine.ContainerRecord // what is quarantined
}

// New returns a service without containers; Recover finds those that exist.
func New(deps Deps) (*Service, error) {
	if deps.Hooks == nil {
		deps.Hooks = NoHooks{}
	}
	m, err := newMarks(deps.StateDir)
	if err != nil {
		return nil, err
	}
	c, err := newCheckpoints(deps.CheckpointDir, deps.JournalDir)
	if err != nil {
		return nil, err
	}
	s := &Service{
		Deps: deps, checkpoints: c, containers: catalog.New[*Container]("container"), operations: operation.New(), marks: m,
		accounts:    accounts{flights: &singleflight.Group{}},
		quarantined: make(map[string]error), byKey: make(map[string]string),
		orphaned: make(map[string]engine.ContainerRecord),
	}
	s.life, s.end = context.WithCancel(context.Background())
	if s.notifiers, err = notifier.New(deps.NotifierDir, forbiddenGrace, s.killForbidden, deps.Log); err != nil {
		return nil, err
	}
	return s, nil
}

// Close cancels what still runs and waits for its end.
func (s *Service) Close() {
	s.operations.Close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.notifiers.Shut()
	s.work.Wait()
}

// background has Close wait for work; false if Close has begun.
func (s *Service) background(work func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(work)
	return true
}

// Get returns a container by id or the unique start of one. Errors: NotFound,
// InvalidArgument.
func (s *Service) Get(id string) (*Container, error) { return s.containers.Get(id) }

// All are the containers by id. It must not be changed.
func (s *Service) All() map[string]*Container { return s.containers.All() }

// OfPod are the containers of one pod.
func (s *Service) OfPod(podID string) []*Container {
	var own []*Container
	for _, c := range s.All() {
		if c.PodID == podID {
			own = append(own, c)
		}
	}
	return own
}

// Running are the operations under way.
func (s *Service) Running() []operation.Status { return s.operations.List() }

// Quarantine returns the records that could not be read, and why. They can be
// removed by RemoveContainer.
func (s *Service) Quarantine() map[string]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.quarantined)
}

// logger has what identifies the container.
func (s *Service) logger(c *Container) *slog.Logger {
	return s.Log.With(telemetry.ContainerFields(c.ID, c.Config.GetMetadata().GetName())...).
		With(telemetry.PodFields(c.PodID, c.Streams.GetPodNamespace(), c.Streams.GetPodName(), c.Streams.GetPodUid())...)
}
