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

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/tools/lab/part"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The go command's part is played by a script: it writes down how it is called
// and makes a file for each package. With FAIL in its environment it fails.
const fakeGo = `#!/bin/sh
echo "$PWD go $*" >> "$CALLS"
if [ -n "$FAIL" ]; then echo "it is broken" >&2; exit 1; fi
case "$1 $2" in "list -m") echo "$MODULE"; exit;; "mod download") exit;; esac
out=""; last=""
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; last=$1; shift; done
case "$out" in */) mkdir -p "$out"; out=$out$(basename "$last");; esac
echo program > "$out"
chmod +x "$out"
`

// bench is a store with an empty cache, and the file with the calls.
func bench(t *testing.T) (part.Store, *bytes.Buffer, func() string) {
	t.Helper()
	dir := t.TempDir()
	bin, calls := filepath.Join(dir, "bin"), filepath.Join(dir, "calls")
	module := filepath.Join(dir, "module")
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(bin, "go"):                           fakeGo,
		filepath.Join(bin, "dpkg-query"):                   "#!/bin/sh\necho installed\n",
		filepath.Join(module, "pkg", "validate/consts.go"): `const digest = "sha256:9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf"`,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("CALLS", calls)
	t.Setenv("MODULE", module)
	out := &bytes.Buffer{}
	return part.Store{Source: source, Cache: filepath.Join(dir, "cache"), Out: out}, out, func() string {
		text, _ := os.ReadFile(calls)
		return string(text)
	}
}

func selected(t *testing.T, ids ...string) []part.Part {
	t.Helper()
	parts, err := part.Select(ids)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestBuildOnceThenFind(t *testing.T) {
	s, out, calls := bench(t)
	parts := selected(t, "runc", "crictl")
	if missing, err := part.Missing(s, parts); err != nil || len(missing) != 2 {
		t.Fatalf("%d parts are missing: %v", len(missing), err)
	}
	if err := s.Build(t.Context(), parts); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, p := range parts {
		dir, err := p.Find(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, part.ID(p))); err != nil {
			t.Errorf("%s has no program: %v", p.Name(), err)
		}
	}
	for _, want := range []string{"parts/runc go build", "-mod=readonly", "-tags seccomp", "parts/crictl go build", "pkg/version.Version=v1.36.0"} {
		if !strings.Contains(calls(), want) {
			t.Errorf("go was not called with %q:\n%s", want, calls())
		}
	}
	before := calls()
	if err := s.Build(t.Context(), parts); err != nil {
		t.Fatal(err)
	}
	if calls() != before || strings.Count(out.String(), "present") != 2 {
		t.Errorf("the second run built again:\n%s", out)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	s, _, _ := bench(t)
	t.Setenv("FAIL", "1")
	err := s.Build(t.Context(), selected(t, "cni"))
	if err == nil || !strings.Contains(err.Error(), "build cni") || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("error is %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Cache, "*cni*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Cache, "building-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestCritestIsBuiltFromAPatchedCopy(t *testing.T) {
	s, out, calls := bench(t)
	if err := s.Build(t.Context(), selected(t, "critest")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(calls(), "go test -c") || !strings.Contains(calls(), "-modfile") {
		t.Errorf("calls are\n%s", calls())
	}
	dir, err := selected(t, "critest")[0].Find(s)
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("beside critest there is %v", entries)
	}
	// Another text in the module is an error, not a critest that fails later.
	if err := os.RemoveAll(s.Cache); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(os.Getenv("MODULE"), "pkg/validate/consts.go")
	if err := os.WriteFile(changed, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Build(t.Context(), selected(t, "critest")); err == nil || !strings.Contains(err.Error(), "pkg/validate/consts.go") {
		t.Errorf("error is %v", err)
	}
}

func TestBuildsOfACacheTakeTurns(t *testing.T) {
	s, _, calls := bench(t)
	var group errgroup.Group
	for range 4 {
		mine := s
		mine.Out = &bytes.Buffer{}
		group.Go(func() error { return mine.Build(t.Context(), selected(t, "crictl")) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if count := strings.Count(calls(), "go build"); count != 1 {
		t.Errorf("built %d times", count)
	}
}

func TestWaitingForTheLockEndsWithTheContext(t *testing.T) {
	s, _, _ := bench(t)
	t.Setenv("FAIL", "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Build(ctx, selected(t, "crictl")); err == nil {
		t.Error("no error")
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
	if _, err := selected(t, "cni")[0].Find(s); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}
