package main

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// std is the name of Go's standard library in the place of a module's path.
const std = "std"

// notice is a licence or a notice of a module.
type notice struct {
	name string
	text []byte
}

// module is something that a program is made of.
type module struct {
	path, version string
	sum           string // as in go.sum; empty for the standard library
	notices       []notice
}

// program is one of the programs and the paths of its modules.
type program struct {
	name  string
	data  []byte
	links []string
}

// build is the programs and the union of their modules, by path.
type build struct {
	arch     string
	programs []program
	modules  []*module
}

// readPrograms reads from the programs themselves what they are made of.
func readPrograms(files []file) (*build, error) {
	b := new(build)
	for _, f := range files {
		data, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("read build information of %s: %w", f.name, err)
		}
		if err := b.addProgram(f.name, data, info); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(b.modules, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	return b, nil
}

// addProgram adds a program and its modules. One that names no modules was built
// without that information: all of Trivet's have some.
func (b *build) addProgram(name string, data []byte, info *buildinfo.BuildInfo) error {
	if len(info.Deps) == 0 {
		return fmt.Errorf("%s does not say which modules it is made of", name)
	}
	for _, setting := range info.Settings {
		if setting.Key == "GOARCH" {
			b.arch = setting.Value
		}
	}
	p := program{name: name, data: data, links: []string{b.add(std, strings.TrimPrefix(info.GoVersion, "go"))}}
	for _, dep := range info.Deps {
		p.links = append(p.links, b.add(dep.Path, dep.Version))
	}
	b.programs = append(b.programs, p)
	return nil
}

// add makes sure of a module and returns its path.
func (b *build) add(path, version string) string {
	if b.module(path) == nil {
		b.modules = append(b.modules, &module{path: path, version: version})
	}
	return path
}

// module returns nil if no program is made of it.
func (b *build) module(path string) *module {
	for _, m := range b.modules {
		if m.path == path {
			return m
		}
	}
	return nil
}

// addSums takes the modules' sums from go.sum.
func (b *build) addSums(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sums := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 {
			sums[fields[0]+" "+fields[1]] = fields[2]
		}
	}
	for _, m := range b.modules {
		m.sum = sums[m.path+" "+m.version]
		if m.sum == "" && m.path != std {
			return fmt.Errorf("%s has no sum of %s %s", path, m.path, m.version)
		}
	}
	return nil
}

// addNotices gives each module its notices. Those of modules that are not in
// any program are left out.
func (b *build) addNotices(files []file) error {
	for _, f := range files {
		m := b.module(f.name)
		if m == nil {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			return err
		}
		m.notices = append(m.notices, notice{filepath.Base(f.path), text})
	}
	for _, m := range b.modules {
		if len(m.notices) == 0 {
			return fmt.Errorf("no licence of %s is known", m.path)
		}
		slices.SortFunc(m.notices, func(a, b notice) int { return strings.Compare(a.name, b.name) })
	}
	return nil
}
