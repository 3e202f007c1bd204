// Package parttest stands in for the programs that parts are built with, so
// that tests build all parts in no time and without a network: the go
// command, apt and what busybox is built with are scripts.
package parttest

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/trivet-cri/trivet/tools/lab/part"
)

// The go command writes down how it is called and makes a file for each
// package: a script that keeps running if it is a daemon. With FAIL in its
// environment it fails.
const fakeGo = `#!/bin/sh
echo "$PWD go $*" >> "$CALLS"
if [ -n "$FAIL" ]; then echo "it is broken" >&2; exit 1; fi
case "$1 $2" in "list -m") echo "$MODULE"; exit;; "mod download") exit;; esac
out=""
packages=""
while [ $# -gt 0 ]; do
  case "$1" in -o) out=$2;; */*) packages="$packages $1";; esac
  shift
done
make_program() {
  mkdir -p "$(dirname "$1")"
  case "$1" in
    */containerd) printf '#!/bin/sh\necho started >> "%s.started"\nexec sleep 1000\n' "$CALLS" > "$1";;
    *) printf '#!/bin/sh\nexit 0\n' > "$1";;
  esac
  chmod +x "$1"
}
case "$out" in */) ;; *) make_program "$out"; exit;; esac
for package in $packages; do
  case "$package" in
    */...) for dir in "$(dirname "$package")"/*/; do make_program "$out$(basename "$dir")"; done;;
    "$out"*|/*) ;;
    *) make_program "$out$(basename "$package")";;
  esac
done
`

const fakeApt = `#!/bin/sh
echo "apt-get $*" >> "$CALLS"
if [ -n "$FAIL_APT" ]; then echo "no such archive" >&2; exit 1; fi
case "$*" in
  *--tar-only*)
    for name; do :; done
    case $name in crun) version=1.21;; criu) version=4.1.1;; esac
    mkdir "$name" "$name/criu" && printf '#!/bin/sh\n' > "$name/configure" && chmod +x "$name/configure"
    tar -czf "${name}_${SOURCE_VERSION:-$version}.orig.tar.gz" "$name";;
  *source*) touch busybox_1.dsc;;
esac
`

const fakeDpkgSource = `#!/bin/sh
for tree; do :; done
mkdir -p "$tree/debian/config/pkg"
printf 'CONFIG_STATIC=y\n# CONFIG_PGREP is not set\nCONFIG_FEATURE_SH_STANDALONE=y\n' > "$tree/debian/config/pkg/static"
`

// make keeps the configuration inside the program, where a test can read it.
const fakeMake = `#!/bin/sh
case "$*" in *busybox) (printf '#!/bin/sh\necho busybox; echo sh; echo ls; exit\n'; cat .config) > busybox; chmod +x busybox;; *static*) touch crun;; *" criu "*) touch criu/criu;; esac
`

// Bench is a store with an empty cache on which everything can be built.
type Bench struct {
	part.Store
	Out    *bytes.Buffer // progress
	Module string        // directory of the module that go list finds
	calls  string
}

// New makes a bench. It changes PATH for the test.
func New(t *testing.T) *Bench {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	b := &Bench{Out: &bytes.Buffer{}, Module: filepath.Join(dir, "module"), calls: filepath.Join(dir, "calls")}
	for path, text := range map[string]string{
		filepath.Join(bin, "go"):                                fakeGo,
		filepath.Join(bin, "apt-get"):                           fakeApt,
		filepath.Join(bin, "dpkg-query"):                        "#!/bin/sh\necho installed\n",
		filepath.Join(bin, "dpkg-source"):                       fakeDpkgSource,
		filepath.Join(bin, "make"):                              fakeMake,
		filepath.Join(bin, "crun"):                              "#!/bin/sh\n",
		filepath.Join(bin, "criu"):                              "#!/bin/sh\n",
		filepath.Join(bin, "iptables"):                          "#!/bin/sh\n",
		filepath.Join(b.Module, "pkg", "validate", "consts.go"): `const digest = "` + part.OriginalDigest + `"`,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("CALLS", b.calls)
	t.Setenv("MODULE", b.Module)
	b.Store = part.Store{Source: source(), Cache: filepath.Join(dir, "cache"), Out: b.Out}
	return b
}

// source is the directory of the lab's own source.
func source() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Calls is how the go command and apt have been called, a line for each call.
func (b *Bench) Calls() string {
	text, _ := os.ReadFile(b.calls)
	return string(text)
}

// Starts is how often a containerd that was built here has been started.
func (b *Bench) Starts() int {
	text, _ := os.ReadFile(b.calls + ".started")
	return bytes.Count(text, []byte("started"))
}
