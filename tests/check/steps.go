package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
)

// parts are what the user may name, in the order in which they run.
var parts = []string{"lint", "unit", "bazel", "contract", "e2e", "critest"}

// step is one line of the table.
type step struct {
	part, name string
	run        func(ctx context.Context, root string) (tally, error)
}

// plan returns the steps of the wanted parts.
func plan(root string, wanted []string) ([]step, error) {
	modules, err := ownModules(root)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lint(modules), unit(modules), []step{
		{"bazel", "build", command("tools/bazel/bazel", "build", "--noshow_progress", "//...")},
		{"bazel", "test", command("tools/bazel/bazel", "test", "--noshow_progress", "//...")},
		{"bazel", "BUILD files are fresh", command("tools/bazel/tidy", "--check")},
		{"contract", "go test -tags e2e", goTest(".", "-tags", "e2e", "-count=1", "-timeout=20m", "./tests/contract/...")},
		{"e2e", "go test -tags e2e", goTest(".", "-tags", "e2e", "-count=1", "-timeout=30m", "./tests/e2e/...")},
		{"e2e", "OCI specs beside the built-in plugin's", goTest(".", "-tags", "e2e", "-count=1", "-timeout=10m", "./tests/golden/...")},
		{"critest", "critest", counted("tools/critest")},
	})
	return slices.DeleteFunc(all, func(s step) bool { return !slices.Contains(wanted, s.part) }), nil
}

func lint(modules []string) []step {
	steps := []step{
		{"lint", "go vet", command("go", "vet", "./...")},
		{"lint", "go vet -tags e2e", command("go", "vet", "-tags", "e2e", "./...")},
		{"lint", "gofumpt", formatted},
		{"lint", "staticcheck", tool("staticcheck", "-tags", "e2e", "./...")},
		{"lint", "golangci-lint", tool("golangci-lint", "run", "./...")},
		{"lint", "buf lint", command("go", "tool", "-modfile=tools/dev/buf/go.mod", "buf", "lint", "proto")},
		{"lint", "generated code is fresh", command("tools/dev/generate", "--check")},
	}
	for _, dir := range modules {
		steps = append(steps, step{"lint", "go vet in " + dir, command("go", "-C", dir, "vet", "./...")})
	}
	return steps
}

func unit(modules []string) []step {
	steps := []step{{"unit", "go test -race", goTest(".", "-race", "-timeout=15m", "./...")}}
	for _, dir := range modules {
		steps = append(steps, step{"unit", "go test in " + dir, goTest(dir, "-timeout=15m", "./...")})
	}
	return steps
}

// ownModules are the directories with a go.mod and Go files of our own
// beside it, other than the root.
func ownModules(root string) ([]string, error) {
	var dirs []string
	for _, pattern := range []string{"tools/*/go.mod", "tools/*/*/go.mod"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			dir, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil {
				return nil, err
			}
			if hasPrograms(filepath.Join(root, dir)) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs, nil
}

// hasPrograms tells a module of ours from one that only pins versions: that
// has no Go file but tools.go, if any.
func hasPrograms(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	deeper, _ := filepath.Glob(filepath.Join(dir, "*", "*.go"))
	for _, file := range append(files, deeper...) {
		name := filepath.Base(file)
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), "go.mod")); err == nil && filepath.Dir(file) != dir {
			continue // belongs to a module inside this one
		}
		if name != "tools.go" && name != "deps.go" {
			return true
		}
	}
	return false
}
