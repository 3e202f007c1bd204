package attach_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/netsync/attach"
	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/network"
	"github.com/trivet-cri/trivet/netsync/plugin"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kernel has network namespaces in memory: every path is one until it is gone.
type kernel struct {
	mu   sync.Mutex
	gone map[string]bool
	up   []string
}

func (k *kernel) Verify(string) error { return nil }

func (k *kernel) Gone(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.gone[path]
}

func (k *kernel) LoopbackUp(path string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.up = append(k.up, path)
	return nil
}

// bench is Attachments with plugins inside the test.
type bench struct {
	t       *testing.T
	options attach.Options
	root    string
	conf    string
	dir     plugintest.Dir
	kernel  *kernel
	ledger  *ledger.Ledger
	*attach.Attachments
	configs *network.Configs
	stop    func()
}

// newBench has one network, "net", with the plugins "one" and "two".
func newBench(t *testing.T, edits ...func(*attach.Options)) *bench {
	t.Helper()
	b := &bench{
		t: t, root: t.TempDir(), conf: t.TempDir(), dir: plugintest.Dir(t.TempDir()), kernel: &kernel{gone: map[string]bool{}},
		options: attach.Options{
			AttachTimeout: 20 * time.Second, DetachTimeout: 20 * time.Second, GCInterval: time.Hour,
			Grace: 20 * time.Second, IPPreference: "ipv4",
		},
	}
	for _, edit := range edits {
		edit(&b.options)
	}
	b.configure("10.conflist", plugintest.Conflist("1.1.0", "net", b.plugin("one", "10.0.0.9/24"), b.plugin("two", "10.0.0.9/24")))
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *bench) plugin(name string, ips ...string) plugintest.Settings {
	return plugintest.Settings{Type: name, Dir: string(b.dir), IPs: ips}
}

func (b *bench) configure(file string, text []byte) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.conf, file), text, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// start is a start of the process: the ledger is opened, the configuration
// is read.
func (b *bench) start() {
	b.t.Helper()
	var err error
	if b.ledger, err = ledger.Open(b.t.Context(), b.root); err != nil {
		b.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b.configs = network.NewConfigs([]network.Source{{Dir: b.conf}}, time.Hour, log)
	runner := plugin.NewRunner([]string{"/bin"}, filepath.Join(b.root, "cni"), &plugintest.Exec{})
	b.Attachments = attach.New(b.options, b.ledger, b.configs, runner, runner, b.kernel, log)
	ctx, cancel := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return b.Run(ctx) })
	group.Go(func() error { return b.configs.Run(ctx) })
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := group.Wait(); err != nil {
			b.t.Error(err)
		}
		if err := b.ledger.Close(); err != nil {
			b.t.Error(err)
		}
	})
}

func (b *bench) restart() {
	b.t.Helper()
	b.stop()
	b.start()
}

func (b *bench) request() attach.Request {
	id := ident.New()
	return attach.Request{Pod: ledger.Pod{ID: id, Namespace: "default", Name: "web", UID: "u"}, NetNS: "/run/netns/" + id}
}

// attached attaches a new pod.
func (b *bench) attached() attach.Request {
	b.t.Helper()
	r := b.request()
	if _, err := b.Attach(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// background attaches r and gives the error when it ends.
func (b *bench) background(ctx context.Context, r attach.Request) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := b.Attach(ctx, r)
		done <- err
	}()
	return done
}

// clean fails the test unless nothing is attached, on record or in fact.
func (b *bench) clean() {
	b.t.Helper()
	if n, _ := b.ledger.Count(); n != 0 {
		b.t.Errorf("the ledger has %d entries", n)
	}
	if held := b.dir.Held(b.t); len(held) != 0 {
		b.t.Errorf("plugins hold %v", held)
	}
}
