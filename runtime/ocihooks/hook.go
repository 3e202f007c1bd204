package ocihooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// version is that of the files' format; the one before it is gone.
const version = "1.0.0"

// file is a file as it is written.
type file struct {
	Version string     `json:"version"`
	Hook    specs.Hook `json:"hook"`
	When    struct {
		Always        *bool             `json:"always"`
		Annotations   map[string]string `json:"annotations"`
		Commands      []string          `json:"commands"`
		HasBindMounts *bool             `json:"hasBindMounts"`
	} `json:"when"`
	Stages []string `json:"stages"`
}

// hook is a file as it is used.
type hook struct {
	name   string // of the file
	run    specs.Hook
	when   when
	stages []string
}

// stages are where a hook can run, each with its place in a spec. Runtimes
// know prestart by its new name.
var stages = map[string]func(*specs.Hooks) *[]specs.Hook{
	"prestart":        func(h *specs.Hooks) *[]specs.Hook { return &h.CreateRuntime },
	"createRuntime":   func(h *specs.Hooks) *[]specs.Hook { return &h.CreateRuntime },
	"createContainer": func(h *specs.Hooks) *[]specs.Hook { return &h.CreateContainer },
	"startContainer":  func(h *specs.Hooks) *[]specs.Hook { return &h.StartContainer },
	"poststart":       func(h *specs.Hooks) *[]specs.Hook { return &h.Poststart },
	"poststop":        func(h *specs.Hooks) *[]specs.Hook { return &h.Poststop },
}

// parse reads a file's text. Errors name key and value.
func parse(name string, text []byte) (hook, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return hook{}, fmt.Errorf("is not JSON of a hook: %w", err)
	}
	if f.Version != version {
		return hook{}, fmt.Errorf("version: %q is not %q", f.Version, version)
	}
	if !filepath.IsAbs(f.Hook.Path) {
		return hook{}, fmt.Errorf("hook.path: %q is not an absolute path", f.Hook.Path)
	}
	if f.Hook.Timeout != nil && *f.Hook.Timeout <= 0 {
		return hook{}, fmt.Errorf("hook.timeout: %d is not a positive number of seconds", *f.Hook.Timeout)
	}
	if f.Stages == nil { // an empty list is how a file switches another off
		return hook{}, errors.New("stages: is missing")
	}
	for _, stage := range f.Stages {
		if stages[stage] == nil {
			return hook{}, fmt.Errorf("stages: %q is unknown", stage)
		}
	}
	conditions, err := compile(&f)
	if err != nil {
		return hook{}, err
	}
	return hook{name: name, run: f.Hook, when: conditions, stages: f.Stages}, nil
}

// check refuses a hook whose program is missing, which would keep every
// container that it is for from starting.
func (h hook) check() error {
	info, err := os.Stat(h.run.Path)
	if err != nil {
		return fmt.Errorf("hook.path: %w", err)
	}
	if info.IsDir() {
		return fmt.Errorf("hook.path: %q is a directory", h.run.Path)
	}
	return nil
}

func compile(f *file) (when, error) {
	w := when{always: f.When.Always, bindMounts: f.When.HasBindMounts}
	for key, value := range f.When.Annotations {
		var pair annotationPattern
		var err error
		if pair.key, err = regexp.Compile(key); err != nil {
			return w, fmt.Errorf("when.annotations: %q: %w", key, err)
		}
		if pair.value, err = regexp.Compile(value); err != nil {
			return w, fmt.Errorf("when.annotations: %q: %w", value, err)
		}
		w.annotations = append(w.annotations, pair)
	}
	for _, command := range f.When.Commands {
		pattern, err := regexp.Compile(command)
		if err != nil {
			return w, fmt.Errorf("when.commands: %q: %w", command, err)
		}
		w.commands = append(w.commands, pattern)
	}
	return w, nil
}
