package migration

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// source is containerd's configuration as containerd sees it: of all files,
// in the terms of the newest version.
type source struct {
	name     string
	version  int // of the first file
	settings settings
	replaced []setting // what a key with another name took the place of
}

// load reads name and what it imports. As in containerd, each file is brought
// to the newest version by itself, and then put over the ones before.
func load(name string) (*source, error) {
	all := &source{name: name, settings: make(settings)}
	loaded, pending := make(map[string]bool), []string{name}
	for len(pending) > 0 {
		next := pending[0]
		pending = pending[1:]
		if loaded[next] {
			continue
		}
		loaded[next] = true
		f, err := readFile(next)
		if err != nil {
			return nil, err
		}
		if next == name {
			all.version = f.version
		}
		all.replaced = append(all.replaced, f.upgrade()...)
		all.merge(f)
		imports, err := f.resolve()
		if err != nil {
			return nil, err
		}
		pending = append(pending, imports...)
	}
	return all, nil
}

// resolve returns the files that f imports: relative ones are beside f, and
// only an asterisk makes a glob, of which no match is no mistake.
func (f *file) resolve() ([]string, error) {
	var files []string
	for _, name := range f.imports {
		name = filepath.Clean(name)
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(f.name), name)
		}
		if !strings.Contains(name, "*") {
			files = append(files, name)
			continue
		}
		matches, err := filepath.Glob(name)
		if err != nil {
			s, _ := f.settings.get("imports")
			return nil, fmt.Errorf("%s: imports: %q: %w: %w", s.place(), name, err, errdefs.ErrInvalidArgument)
		}
		files = append(files, matches...)
	}
	return files, nil
}

// merge puts f over what was read before.
func (all *source) merge(f *file) {
	for _, s := range f.settings.sorted() {
		if len(s.path) == 2 && slices.Contains([]string{"stream_processors", "proxy_plugins"}, s.path[0]) {
			continue // empty, says nothing
		}
		if len(s.path) > 2 && slices.Contains([]string{"stream_processors", "proxy_plugins"}, s.path[0]) {
			all.replaceEntry(f, s)
		}
		s.format = f.version
		if s.path[0] != "plugins" && all.keeps(&s) {
			continue
		}
		all.settings.put(s)
	}
}

// replaceEntry removes the other files' keys of the entry that s is in:
// entries of these tables are replaced as a whole.
func (all *source) replaceEntry(f *file, s setting) {
	for _, old := range all.settings.matching(s.path[0], s.path[1], "**") {
		if old.file != f.name {
			delete(all.settings, old.path.key())
		}
	}
}

// keeps merges a key outside of plugins with the one before: empty values
// replace nothing and lists are joined. It tells whether the old one stays.
func (all *source) keeps(s *setting) bool {
	old, ok := all.settings[s.path.key()]
	if !ok {
		return false
	}
	if s.value == nil || reflect.ValueOf(s.value).IsZero() {
		return true
	}
	was, list := old.value.([]any)
	more, lists := s.value.([]any)
	if !list || !lists {
		return false
	}
	joined := slices.Clone(was)
	for _, element := range more {
		if !slices.ContainsFunc(joined, func(have any) bool { return reflect.DeepEqual(have, element) }) {
			joined = append(joined, element)
		}
	}
	s.value = joined
	return false
}
