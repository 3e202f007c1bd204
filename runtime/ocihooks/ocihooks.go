// Package ocihooks adds the node's own hooks to containers.
//
//	hooks_dir ─▶ *.json: which program, at which stages, for which containers ─▶ OCI spec
//
// The files are those that Podman and CRI-O read (oci-hooks(5), schema 1.0.0).
// Of files with the same name, that of the last directory counts; with no
// stages it switches the others off. Hooks run in the order of the files' names.
//
// The directories are looked at for each container, and files read anew when
// one has changed: there is no watcher that could miss a change. A file that
// is broken is an error of the start; later it is logged, and what it said
// before stays in force.
package ocihooks

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Hooks are those of some directories. Its methods may be called concurrently;
// a nil one has none.
type Hooks struct {
	dirs  []string
	log   *slog.Logger
	known atomic.Pointer[known]
}

// known is what was read. A published one never changes.
type known struct {
	of    string // listing that it was read of
	hooks map[string]hook
	order []hook
}

// Load reads the files. Errors name each that cannot be used. Directories that
// are missing are empty; without any, the result is nil.
func Load(dirs []string, log *slog.Logger) (*Hooks, error) {
	if len(dirs) == 0 {
		return nil, nil
	}
	h := &Hooks{dirs: dirs, log: log}
	list, err := list(dirs)
	if err != nil {
		return nil, err
	}
	first, problems := list.read(nil)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	h.known.Store(first)
	return h, nil
}

// Add adds the hooks that are for a container to its spec.
func (h *Hooks) Add(s *specs.Spec, c Container) {
	if h == nil {
		return
	}
	for _, one := range h.current().order {
		if !one.when.holds(c) {
			continue
		}
		if s.Hooks == nil {
			s.Hooks = &specs.Hooks{}
		}
		for _, stage := range one.stages {
			place := stages[stage](s.Hooks)
			*place = append(*place, clone(one.run))
		}
	}
}

// current are the hooks as the files are now.
func (h *Hooks) current() *known {
	old := h.known.Load()
	list, err := list(h.dirs)
	if err != nil {
		h.log.Warn("hooks stay as they were", "error", err)
		return old
	}
	if list.print() == old.of {
		return old
	}
	next, problems := list.read(old.hooks)
	// Only who publishes the change tells of it.
	if h.known.CompareAndSwap(old, next) {
		for _, err := range problems {
			h.log.Warn("a file of hooks cannot be used: what it said before stays in force", "error", err)
		}
		h.log.Info("hooks are read anew", "hooks", len(next.hooks))
	}
	return next
}

// read reads the files of a listing. Of those that cannot be used, what old
// has of that name stays.
func (l listing) read(old map[string]hook) (*known, []error) {
	next := &known{of: l.print(), hooks: make(map[string]hook, len(l))}
	var problems []error
	for name, entry := range l {
		one, err := entry.read(name)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", entry.path, err))
			if before, ok := old[name]; ok {
				next.hooks[name] = before
			}
			continue
		}
		next.hooks[name] = one
	}
	for _, one := range next.hooks {
		next.order = append(next.order, one)
	}
	slices.SortFunc(next.order, func(a, b hook) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), strings.Compare(a.name, b.name))
	})
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return next, problems
}

func clone(h specs.Hook) specs.Hook {
	h.Args, h.Env = slices.Clone(h.Args), slices.Clone(h.Env)
	if h.Timeout != nil {
		timeout := *h.Timeout
		h.Timeout = &timeout
	}
	return h
}
