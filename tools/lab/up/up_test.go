package up_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tools/lab/part"
	"github.com/trivet-cri/trivet/tools/lab/part/parttest"
	"github.com/trivet-cri/trivet/tools/lab/sweep"
	"github.com/trivet-cri/trivet/tools/lab/up"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a lab whose parts are scripts.
type running struct {
	up.Info
	dir   string
	bench *parttest.Bench
	stop  func() error
}

// start runs a lab until stop is called or the test ends.
func start(t *testing.T) *running {
	t.Helper()
	b := parttest.New(t)
	if err := b.Build(t.Context(), part.Parts()); err != nil {
		t.Fatalf("%v\n%s", err, b.Out)
	}
	r := &running{dir: filepath.Join(t.TempDir(), "lab"), bench: b}
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := up.Run(ctx, up.Options{Dir: r.dir, Parts: b.Store}, writer)
		_ = writer.CloseWithError(err)
		ended <- err
	}()
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := json.NewDecoder(reader).Decode(&r.Info); err != nil {
		t.Fatalf("no lab: %v", err)
	}
	return r
}

// daemon is the process id of the only process in the lab's cgroup.
func (r *running) daemon(t *testing.T) int {
	t.Helper()
	for _, hierarchy := range sweep.Hierarchies() {
		text, err := os.ReadFile(filepath.Join(hierarchy, r.CgroupParent, "daemons", "cgroup.procs"))
		if fields := strings.Fields(string(text)); err == nil && len(fields) == 1 {
			pid, _ := strconv.Atoi(fields[0])
			return pid
		}
	}
	return 0
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestLabRunsAndLeavesNothing(t *testing.T) {
	r := start(t)
	for _, path := range []string{
		r.Crictl, r.Critest, filepath.Join(r.BinDir, "runc"), filepath.Join(r.BinDir, "crun"), filepath.Join(r.BinDir, "criu"), filepath.Join(r.CNIBinDir, "bridge"),
		filepath.Join(r.CNIConfDir, "10-lab.conflist"), filepath.Join(r.CertsDir, "registry.k8s.io", "hosts.toml"),
		filepath.Join(r.dir, "no-crictl.yaml"),
	} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if r.Namespace != "trivet" || r.Registry == "" || r.ContainerdSocket == "" || r.ContainerdState == "" || r.JaegerOTLP != "" {
		t.Errorf("the lab says %+v", r.Info)
	}
	eventually(t, "containerd runs in its cgroup", func() bool { return r.daemon(t) != 0 })
	pid := r.daemon(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if unix.Kill(pid, 0) == nil {
		t.Error("containerd still runs")
	}
	for _, hierarchy := range sweep.Hierarchies() {
		if _, err := os.Stat(filepath.Join(hierarchy, r.CgroupParent)); err == nil {
			t.Errorf("cgroup %s is left in %s", r.CgroupParent, hierarchy)
		}
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "containerd.log" {
		t.Errorf("left in the directory: %v %v", entries, err)
	}
}

func TestDaemonThatIsKilledIsStartedAgain(t *testing.T) {
	r := start(t)
	eventually(t, "containerd runs", func() bool { return r.daemon(t) != 0 && r.bench.Starts() == 1 })
	first := r.daemon(t)
	time.Sleep(2100 * time.Millisecond) // one that ends sooner has not come up
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "containerd runs again", func() bool {
		now := r.daemon(t)
		return now != 0 && now != first && r.bench.Starts() == 2
	})
}

func TestDirectoryIsOneLabs(t *testing.T) {
	r := start(t)
	err := up.Run(t.Context(), up.Options{Dir: r.dir, Parts: r.bench.Store}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "another lab runs in "+r.dir) {
		t.Errorf("error is %v", err)
	}
}

func TestMissingPartsAreNamed(t *testing.T) {
	b := parttest.New(t)
	dir := filepath.Join(t.TempDir(), "lab")
	err := up.Run(t.Context(), up.Options{Dir: dir, Parts: b.Store}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "containerd v2.4.2 is missing") || !strings.Contains(err.Error(), "tools/lab/lab build") {
		t.Errorf("error is %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left in the directory: %v", entries)
	}
}

func TestDirectoryThatIsTooLongForSockets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	err := up.Run(t.Context(), up.Options{Dir: dir}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), dir+" is too long") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was made")
	}
}

// mounted is the type of the file system mounted at path; empty if none is.
func mounted(t *testing.T, path string) string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(mounts) == 0 {
		return ""
	}
	return mounts[0].FSType
}

func TestRootOnAnOverlayGetsATmpfs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lower", "data", "merged"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := sweep.Unmount(dir); err != nil {
			t.Error(err)
		}
	})
	data, merged := filepath.Join(dir, "data"), filepath.Join(dir, "merged")
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(data, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/data/upper,workdir=%[1]s/data/work", dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(merged, "root")
	if err := up.PrepareRoot(root); err != nil {
		t.Fatal(err)
	}
	if kind := mounted(t, root); kind != "tmpfs" {
		t.Errorf("mounted on the root is %q", kind)
	}
	plain := filepath.Join(data, "root")
	if err := up.PrepareRoot(plain); err != nil {
		t.Fatal(err)
	}
	if kind := mounted(t, plain); kind != "" {
		t.Errorf("mounted on a root that needs nothing is %q", kind)
	}
}
