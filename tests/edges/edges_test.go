// Package edges tests the architecture: which package may import which.
//
// Dependencies point down: a process imports its own tree, the APIs in proto
// and what is shared in internal, and never another process. One package of a
// process talks to containerd, and only in the processes that may.
package edges_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module     = "github.com/trivet-cri/trivet/"
	containerd = "github.com/containerd/containerd/v2/client"
)

// allowed has for each top folder the other top folders that it may import.
var allowed = map[string][]string{
	"launcher": {"internal", "proto"},
	"runtime":  {"internal", "proto"},
	"streamer": {"internal", "proto"},
	"netsync":  {"internal", "proto"},
	"internal": {"proto"},
	"proto":    {},
	"tests":    {"internal", "proto"},
	"tools":    {"internal", "proto", "tests"},
}

// contract tests run a process's own packages against the real thing, so
// they may import that process.
const contract = module + "tests/contract"

// clients has for each process how many of its packages use containerd.
var clients = map[string]int{"launcher": 0, "runtime": 1, "streamer": 1, "netsync": 0}

// forbidden are package names that say nothing.
var forbidden = []string{"util", "utils", "common", "helper", "helpers", "types", "pkg", "misc"}

// pkg is one directory with Go files.
type pkg struct {
	path    string
	imports []string // of all its files, tests among them
	product []string // of the files that are not tests
}

// list reads the imports of every package of the module. It reads the files
// itself, of every build tag, so that the test's result is cached rightly.
func list(t *testing.T) []*pkg {
	t.Helper()
	packages := make(map[string]*pkg)
	const root = "../.."
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(root, file, entry.Name())
		}
		if path.Ext(file) != ".go" {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil || dir == "." {
			return err
		}
		if packages[dir] == nil {
			packages[dir] = &pkg{path: module + dir}
		}
		return packages[dir].read(file)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 5 {
		t.Fatalf("found %d packages", len(packages))
	}
	return slices.SortedFunc(maps.Values(packages), func(a, b *pkg) int { return strings.Compare(a.path, b.path) })
}

// enter skips what is not of this module: hidden directories, test data,
// Bazel's links, and modules of their own.
func enter(root, dir, name string) error {
	if dir == root {
		return nil
	}
	if strings.HasPrefix(name, ".") || name == "testdata" || strings.HasPrefix(name, "bazel-") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (p *pkg) read(file string) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		p.imports = append(p.imports, imported)
		if !strings.HasSuffix(file, "_test.go") {
			p.product = append(p.product, imported)
		}
	}
	return nil
}

// top is the top folder of a package of this module; false for any other.
func top(importPath string) (string, bool) {
	inside, ok := strings.CutPrefix(importPath, module)
	if !ok {
		return "", false
	}
	folder, _, _ := strings.Cut(inside, "/")
	return folder, true
}

func TestProcessesNeverImportEachOther(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		from, _ := top(p.path)
		may, known := allowed[from]
		if !known {
			t.Errorf("%s: top folder %s has no rule in this test", p.path, from)
			continue
		}
		for _, imported := range p.imports {
			if p.path == contract && strings.HasPrefix(imported, module+"runtime/") {
				continue
			}
			if to, ok := top(imported); ok && to != from && !slices.Contains(may, to) {
				t.Errorf("%s imports %s: %s may only import %v", p.path, imported, from, may)
			}
		}
	}
}

func TestOnePackageTalksToContainerd(t *testing.T) {
	t.Parallel()
	users := make(map[string][]string)
	for _, p := range list(t) {
		if folder, ok := top(p.path); ok && slices.Contains(p.product, containerd) {
			users[folder] = append(users[folder], p.path)
		}
	}
	for process, limit := range clients {
		if len(users[process]) > limit {
			t.Errorf("%s may have %d packages that use containerd's client: %v", process, limit, users[process])
		}
	}
}

func TestNamesSaySomething(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		if slices.Contains(forbidden, path.Base(p.path)) {
			t.Errorf("%s: the name says nothing", p.path)
		}
	}
}
