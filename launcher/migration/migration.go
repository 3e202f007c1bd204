// Package migration turns containerd's configuration into Trivet's.
//
//	config.toml, imports ─▶ keys of version 4 ─┬─▶ counterpart ─▶ trivet.toml
//	 (versions 1 to 4)                         └─▶ note: why there is none
//
// Each key ends in exactly one of the two, so that nothing of a file is lost
// silently; a key that containerd does not know is a note, too. What is made
// is always accepted by package config: a value that Trivet refuses becomes a
// note. A file that containerd itself could not read is an error that names
// file and line.
package migration

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
)

// Releases of containerd, whose defaults differ.
const (
	Release1 = 1
	Release2 = 2
)

// runcShim is the shim of runc and the programs like it.
const runcShim = "io.containerd.runc.v2"

// Result is Trivet's configuration with what is to be said about it.
type Result struct {
	Config      *config.Config
	Notes       []Note   // about keys of the file, most important first
	Differences []string // what differs between containerd and Trivet without any key
	Steps       []string // what the user has to do
	Hosts       []Hosts  // files to write for the registries

	source *source
}

// migration is one under way.
type migration struct {
	*Result
	left    settings // not looked at yet
	release int
}

// Migrate reads containerd's configuration from the file and what it imports.
// release is the major release of containerd that the file is used with, for
// the defaults of keys that the file does not have; 0 guesses by the version
// of the file.
func Migrate(name string, release int) (*Result, error) {
	source, err := load(name)
	if err != nil {
		return nil, err
	}
	switch {
	case release == 0 && source.version < 3:
		release = Release1
	case release == 0:
		release = Release2
	case release != Release1 && release != Release2:
		return nil, fmt.Errorf("release %d is neither %d nor %d: %w", release, Release1, Release2, errdefs.ErrInvalidArgument)
	}
	// The maps of the defaults may be shared.
	defaults := config.Default()
	defaults.Runtime.Handlers = maps.Clone(defaults.Runtime.Handlers)
	m := &migration{
		Result:  &Result{Config: defaults, source: source},
		left:    maps.Clone(source.settings),
		release: release,
	}
	m.run()
	return m.Result, nil
}

// run looks at every key. The order matters where Trivet refuses one value
// without another.
func (m *migration) run() {
	for _, s := range m.source.replaced {
		m.note(Unneeded, s, "containerd ignores it: another key of the file says the same under its newer name.")
	}
	m.defaults()
	m.special()
	for _, c := range counterparts {
		for _, s := range m.take(c.path...) {
			m.carry(s, c.field)
		}
	}
	m.streamTLS()
	m.nri()
	m.handlers()
	m.systemdCgroup()
	m.images()
	m.explain()
	m.steps()
	slices.SortStableFunc(m.Notes, func(a, b Note) int { return int(a.Kind) - int(b.Kind) })
}

// take removes the keys that pattern describes from those to look at.
func (m *migration) take(pattern ...string) []setting {
	taken := m.left.matching(pattern...)
	for _, s := range taken {
		delete(m.left, s.path.key())
	}
	return taken
}

func (m *migration) note(kind Kind, s setting, why string) {
	m.Notes = append(m.Notes, newNote(kind, s, why))
}

// carry sets the field to the value of s, or notes why it cannot be.
func (m *migration) carry(s setting, field func(*config.Config) any) bool {
	if s.value == "" { // containerd's notation of "the default"
		return true
	}
	if s.emptyTable() {
		return false
	}
	if err := m.try(func(c *config.Config) error { return assign(field(c), s.value) }); err != nil {
		m.note(Lost, s, "Trivet refuses the value: "+err.Error())
		return false
	}
	return true
}

// try changes the configuration if Trivet accepts the result.
func (m *migration) try(change func(*config.Config) error) error {
	candidate := *m.Config
	candidate.Runtime.Handlers = maps.Clone(m.Config.Runtime.Handlers)
	if err := change(&candidate); err != nil {
		return err
	}
	text, err := render(&candidate)
	if err != nil {
		return err
	}
	if _, err := config.Parse(refused, text); err != nil {
		// Line numbers of a text that nobody sees help nobody.
		_, reason, _ := strings.Cut(strings.TrimPrefix(err.Error(), refused+":"), ": ")
		return fmt.Errorf("%s", reason)
	}
	m.Config = &candidate
	return nil
}

// refused is the name of a configuration that is only tried.
const refused = "candidate"
