package migration

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// path is a key of a TOML file with the tables that it is in.
type path []string

// String is the dotted key, quoted as TOML wants it.
func (p path) String() string {
	parts := make([]string, len(p))
	for i, part := range p {
		parts[i] = quoteKey(part)
	}
	return strings.Join(parts, ".")
}

func (p path) key() string { return strings.Join(p, "\x00") }

// matches tells whether p is what pattern describes: "*" is any one part,
// "**" at the end all that follow. containerd does not mind the case of keys.
func (p path) matches(pattern path) bool {
	for i, part := range pattern {
		if part == "**" {
			return len(p) >= i
		}
		if i >= len(p) || part != "*" && !strings.EqualFold(part, p[i]) {
			return false
		}
	}
	return len(p) == len(pattern)
}

func quoteKey(part string) string {
	text, err := toml.Marshal(map[string]int{part: 0})
	if err != nil {
		return fmt.Sprintf("%q", part)
	}
	return strings.TrimSuffix(string(text), " = 0\n")
}

// setting is one key of containerd's configuration that is not a table, or a
// table without keys.
type setting struct {
	origin path // as the file has it
	path   path // as version 4 of the format has it
	value  any
	file   string
	line   int
	format int // version of the file
}

func (s setting) place() string { return fmt.Sprintf("%s:%d", s.file, s.line) }

// emptyTable tells whether s is a table without keys, which says nothing.
func (s setting) emptyTable() bool {
	table, ok := s.value.(map[string]any)
	return ok && len(table) == 0
}

// settings are those of one or several files by path.
type settings map[string]setting

// put adds s over what was at its path: a key replaces a table and the other
// way round, an empty table replaces nothing.
func (all settings) put(s setting) {
	below := s.path.key() + "\x00"
	for key := range all {
		switch {
		case strings.HasPrefix(key, below):
			if s.emptyTable() {
				return
			}
			delete(all, key)
		case strings.HasPrefix(below, key+"\x00"):
			delete(all, key)
		}
	}
	all[s.path.key()] = s
}

func (all settings) get(p ...string) (setting, bool) {
	s, ok := all[path(p).key()]
	return s, ok
}

// sorted are the settings in the order of their paths.
func (all settings) sorted() []setting {
	list := make([]setting, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[key])
	}
	return list
}

// matching are the settings that pattern describes, sorted.
func (all settings) matching(pattern ...string) []setting {
	return slices.DeleteFunc(all.sorted(), func(s setting) bool { return !s.path.matches(pattern) })
}

// strings are the texts of a list, without those that are none.
func (s setting) strings() []string {
	list, _ := s.value.([]any)
	var all []string
	for _, element := range list {
		if text, ok := element.(string); ok {
			all = append(all, text)
		}
	}
	return all
}
