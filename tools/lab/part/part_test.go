package part_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tools/lab/part"
	"github.com/trivet-cri/trivet/tools/lab/part/parttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func selected(t *testing.T, ids ...string) []part.Part {
	t.Helper()
	parts, err := part.Select(ids)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func find(t *testing.T, s part.Store, id string) string {
	t.Helper()
	where, err := selected(t, id)[0].Find(s)
	if err != nil {
		t.Fatal(err)
	}
	return where
}

func TestBuildAllOnceThenFind(t *testing.T) {
	b := parttest.New(t)
	parts := part.Parts()
	if missing, err := part.Missing(b.Store, parts); err != nil || len(missing) != len(parts)-1 { // iptables is a package
		t.Fatalf("%d of %d parts are missing: %v", len(missing), len(parts), err)
	}
	if err := b.Build(t.Context(), parts); err != nil {
		t.Fatalf("%v\n%s", err, b.Out)
	}
	for id, programs := range map[string][]string{
		"containerd": {"containerd", "ctr", "containerd-shim-runc-v2"}, "runc": {"runc"}, "crictl": {"crictl"},
		"cni":     {"bridge", "loopback", "ptp", "host-device", "macvlan", "host-local", "static", "portmap", "bandwidth", "firewall", "tuning"},
		"critest": {"critest", "ginkgo"}, "jaeger": {"all-in-one"}, "busybox": {"busybox"}, "crun": {"crun"}, "criu": {"criu"}, "images": {"index.json", "oci-layout"},
	} {
		for _, program := range programs {
			if _, err := os.Stat(filepath.Join(find(t, b.Store, id), program)); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	for _, want := range []string{"parts/runc go build", "-mod=readonly", "-tags seccomp", "parts/crictl go build", "pkg/version.Version=v1.36.0"} {
		if !strings.Contains(b.Calls(), want) {
			t.Errorf("go was not called with %q:\n%s", want, b.Calls())
		}
	}
	before := b.Calls()
	if err := b.Build(t.Context(), parts); err != nil {
		t.Fatal(err)
	}
	if b.Calls() != before {
		t.Errorf("the second run built again:\n%s", b.Calls())
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	b := parttest.New(t)
	t.Setenv("FAIL", "1")
	err := b.Build(t.Context(), selected(t, "cni"))
	if err == nil || !strings.Contains(err.Error(), "build cni") || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("error is %v", err)
	}
	entries, err := os.ReadDir(b.Cache)
	if err != nil || len(entries) != 1 || entries[0].Name() != "build.lock" {
		t.Errorf("left %v: %v", entries, err)
	}
}

func TestCritestIsBuiltFromAPatchedCopy(t *testing.T) {
	b := parttest.New(t)
	if err := b.Build(t.Context(), selected(t, "critest")); err != nil {
		t.Fatalf("%v\n%s", err, b.Out)
	}
	if !strings.Contains(b.Calls(), "go test -c") || !strings.Contains(b.Calls(), "-modfile") {
		t.Errorf("calls are\n%s", b.Calls())
	}
	if entries, _ := os.ReadDir(find(t, b.Store, "critest")); len(entries) != 2 { // ginkgo is the other
		t.Errorf("beside critest there is %v", entries)
	}
	// Another text in the module is an error, not a critest that fails later.
	if err := os.RemoveAll(b.Cache); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(b.Module, "pkg/validate/consts.go")
	if err := os.WriteFile(changed, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Build(t.Context(), selected(t, "critest")); err == nil || !strings.Contains(err.Error(), "pkg/validate/consts.go") {
		t.Errorf("error is %v", err)
	}
}

// TestSourced: the package is taken if it will do, or if there is nothing
// better.
func TestSourced(t *testing.T) {
	for _, id := range []string{"crun", "criu"} {
		for name, test := range map[string]struct {
			program string
			env     map[string]string
			built   bool
		}{
			"good package":                {program: "exit 0"},
			"old package":                 {program: "exit 1", built: true},
			"old package, no archives":    {program: "exit 1", env: map[string]string{"FAIL_APT": "1"}},
			"old package, other archives": {program: "exit 1", env: map[string]string{"SOURCE_VERSION": "9.9"}},
		} {
			t.Run(id+" "+name, func(t *testing.T) {
				b := parttest.New(t)
				for key, value := range test.env {
					t.Setenv(key, value)
				}
				packaged := filepath.Join(filepath.Dir(b.Module), "bin", id)
				if err := os.WriteFile(packaged, []byte("#!/bin/sh\n"+test.program+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := b.Build(t.Context(), selected(t, id)); err != nil {
					t.Fatalf("%v\n%s", err, b.Out)
				}
				dir := find(t, b.Store, id)
				target, err := os.Readlink(filepath.Join(dir, id))
				if test.built != (err != nil) || !test.built && target != packaged {
					t.Errorf("%s is a link to %q: %v", id, target, err)
				}
				if entries, _ := os.ReadDir(dir); len(entries) != 1 {
					t.Errorf("beside %s there is %v", id, entries)
				}
				if said := strings.Contains(b.Out.String(), "taking the package, without "); said != (test.env != nil) {
					t.Errorf("the build says\n%s", b.Out)
				}
			})
		}
	}
}

func TestBusyboxHasItsOptions(t *testing.T) {
	b := parttest.New(t)
	if err := b.Build(t.Context(), selected(t, "busybox")); err != nil {
		t.Fatalf("%v\n%s", err, b.Out)
	}
	program, err := os.ReadFile(filepath.Join(find(t, b.Store, "busybox"), "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"CONFIG_STATIC=y\n", "CONFIG_PGREP=y\n", "# CONFIG_FEATURE_SH_STANDALONE is not set\n"} {
		if !strings.Contains(string(program), line) {
			t.Errorf("the configuration lacks %q", line)
		}
	}
}

func TestBuildsOfACacheTakeTurns(t *testing.T) {
	b := parttest.New(t)
	var group errgroup.Group
	for range 4 {
		mine := b.Store
		mine.Out = &bytes.Buffer{}
		group.Go(func() error { return mine.Build(t.Context(), selected(t, "crictl")) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if count := strings.Count(b.Calls(), "go build"); count != 1 {
		t.Errorf("built %d times", count)
	}
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	b := parttest.New(t)
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(b.Cache, "build.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Build(ctx, selected(t, "crictl")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	if !strings.Contains(b.Out.String(), "waiting for another build") {
		t.Errorf("nobody says why nothing happens: %s", b.Out)
	}
}

func TestOldPartsAreRemoved(t *testing.T) {
	b := parttest.New(t)
	old, recent := filepath.Join(b.Cache, "crictl-old"), filepath.Join(b.Cache, "crictl-recent")
	for _, dir := range []string{old, recent} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if err := b.Build(t.Context(), selected(t, "crictl")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part that nobody has used for a month is still there: %v", err)
	}
	if _, err := os.Stat(recent); err != nil {
		t.Error(err)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	if parts := selected(t); len(parts) != len(part.Parts()) {
		t.Errorf("no ids select %d parts", len(parts))
	}
	if _, err := part.Select([]string{"cni", "docker"}); err == nil || !strings.Contains(err.Error(), `"docker"`) {
		t.Errorf("error is %v", err)
	}
}

func TestBrokenPinsAreNotMissingParts(t *testing.T) {
	t.Parallel()
	s := part.Store{Source: t.TempDir(), Cache: t.TempDir(), Out: &bytes.Buffer{}}
	if _, err := selected(t, "cni")[0].Find(s); err == nil || errors.Is(err, part.ErrMissing) {
		t.Errorf("error is %v", err)
	}
}

func TestSetOptions(t *testing.T) {
	t.Parallel()
	const before = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_AB=y\nCONFIG_C=\"text\"\n"
	const after = "CONFIG_AB=y\nCONFIG_C=\"text\"\nCONFIG_B=y\n# CONFIG_A is not set\n"
	if got := string(part.SetOptions([]byte(before), []string{"B"}, []string{"A"})); got != after {
		t.Errorf("options are\n%s", got)
	}
}

func TestSourcesOf(t *testing.T) {
	t.Parallel()
	for before, after := range map[string]string{
		"Types: deb\nURIs: http://a\nSuites: s\n\nTypes: deb deb-src\nURIs: http://b\n": "Types: deb-src\nURIs: http://a\nSuites: s\n\nTypes: deb-src\nURIs: http://b\n",
		"deb [signed-by=/k] http://a s main\n# deb http://c s main\n":                   "deb-src [signed-by=/k] http://a s main\n# deb http://c s main\n",
		"deb-src http://a s main\n": "deb-src http://a s main\n",
	} {
		if got := string(part.SourcesOf([]byte(before))); got != after {
			t.Errorf("sources of\n%sare\n%s", before, got)
		}
	}
}
