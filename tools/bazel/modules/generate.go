package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

const header = `"""The modules of go.mod as repositories. Made by tools/bazel/tidy; do not edit."""

load("//tools/bazel:repository.bzl", "go_repository")

def go_dependencies():
    """Declares a repository for each module that go.mod requires."""
`

// module is one line of go.mod with its line of go.sum.
type module struct{ path, version, sum string }

// generate returns the text of deps.bzl. A replace directive is an error: no
// repository could be told apart from what it replaces.
func generate(modPath, sumPath string) ([]byte, error) {
	modules, err := read(modPath, sumPath)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(header)
	for _, m := range modules {
		fmt.Fprintf(&out, "    go_repository(\n        name = %q,\n        importpath = %q,\n        sum = %q,\n        version = %q,\n    )\n",
			repository(m.path), m.path, m.sum, m.version)
	}
	out.WriteString("\n# What each of them asks to be handed on with a program, for the release.\nNOTICES = {\n")
	for _, m := range modules {
		fmt.Fprintf(&out, "    %q: %q,\n", "@"+repository(m.path)+"//:notices", m.path)
	}
	out.WriteString("}\n")
	return out.Bytes(), nil
}

// read returns the modules in the order of their repositories' names, the order
// in which buildifier wants them.
func read(modPath, sumPath string) ([]module, error) {
	text, err := os.ReadFile(modPath)
	if err != nil {
		return nil, err
	}
	file, err := modfile.Parse(modPath, text, nil)
	if err != nil {
		return nil, err
	}
	if len(file.Replace) > 0 {
		return nil, fmt.Errorf("%s: replace %s: not supported by the Bazel build", modPath, file.Replace[0].Old.Path)
	}
	sums, err := readSums(sumPath)
	if err != nil {
		return nil, err
	}
	var modules []module
	for _, required := range file.Require {
		sum, ok := sums[required.Mod.Path+" "+required.Mod.Version]
		if !ok {
			// The go command needed only its go.mod: no package is used.
			continue
		}
		modules = append(modules, module{required.Mod.Path, required.Mod.Version, sum})
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(repository(a.path), repository(b.path)) })
	return modules, nil
}

// readSums returns the sums of modules, by "path version", and leaves out those
// of go.mod files alone.
func readSums(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]string)
	for number, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s:%d: %d fields, not 3", path, number+1, len(fields))
		}
		if !strings.HasSuffix(fields[1], "/go.mod") {
			sums[fields[0]+" "+fields[1]] = fields[2]
		}
	}
	return sums, nil
}

// repository names a module's repository as gazelle does: the host's parts in
// reverse, then the path.
func repository(path string) string {
	host, rest, _ := strings.Cut(path, "/")
	parts := strings.Split(host, ".")
	slices.Reverse(parts)
	if rest != "" {
		parts = append(parts, strings.Split(rest, "/")...)
	}
	name := strings.Join(parts, "_")
	return strings.ToLower(strings.NewReplacer("-", "_", ".", "_", "~", "_").Replace(name))
}
