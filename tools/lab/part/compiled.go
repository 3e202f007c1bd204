package part

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// compiled is a part that is built from a Go module. Its graph of dependencies
// is pinned by go.mod and go.sum in parts/ID.
type compiled struct {
	ID, Version string
	Packages    []string // Debian packages that the build needs
	Steps       []step
	// Patch, if not nil, says what to change in the module Module.
	Patch  func() (Patch, error) `json:"-"`
	Module string
}

// step is one call of the go command; the programs land in the part's
// directory under the base name of their package.
type step struct {
	Packages []string
	Tags     string
	LDFlags  string
	Cgo      bool
	Test     string // not empty: go test -c of the only package, to this name
}

func (c compiled) Name() string { return c.ID + " " + c.Version }

func (c compiled) dir(s Store) (string, error) {
	texts := []string{runtime.Version(), runtime.GOARCH}
	recipe, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(c.module(s), name))
		if err != nil {
			return "", fmt.Errorf("read pinned versions of %s: %w", c.ID, err)
		}
		texts = append(texts, string(text))
	}
	if c.Patch != nil {
		patch, err := c.Patch()
		if err != nil {
			return "", err
		}
		texts = append(texts, patch.File, patch.Old, patch.New)
	}
	return filepath.Join(s.Cache, c.ID+"-"+key(append(texts, string(recipe))...)), nil
}

func (c compiled) module(s Store) string { return filepath.Join(s.Source, "parts", c.ID) }

func (c compiled) Find(s Store) (string, error) {
	dir, err := c.dir(s)
	if err != nil {
		return "", err
	}
	return find(dir)
}

func (c compiled) make(ctx context.Context, s Store) error {
	dir, err := c.dir(s)
	if err != nil {
		return err
	}
	if err := install(ctx, s, c.Packages); err != nil {
		return err
	}
	return fill(dir, func(work string) error {
		scratch := filepath.Join(work, "scratch")
		modfile, err := c.patched(ctx, s, scratch)
		if err != nil {
			return err
		}
		for _, step := range c.Steps {
			cmd := exec.CommandContext(ctx, "go", step.args(work, modfile)...)
			cmd.Dir = c.module(s)
			cmd.Env = goEnvironment(step.Cgo)
			if err := watched(ctx, s, cmd); err != nil {
				return err
			}
		}
		return os.RemoveAll(scratch)
	})
}

func (s step) args(dir, modfile string) []string {
	args := []string{"build", "-o", dir + "/"}
	if s.Test != "" {
		args = []string{"test", "-c", "-o", filepath.Join(dir, s.Test)}
	}
	args = append(args, "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags", s.Tags, "-ldflags", s.LDFlags)
	if modfile != "" {
		args = append(args, "-modfile", modfile)
	}
	return append(args, s.Packages...)
}

// goEnvironment keeps the machine's Go settings, as far as they say where
// modules come from, and drops what would change the build.
func goEnvironment(cgo bool) []string {
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GOFLAGS", "GOWORK", "CGO_ENABLED", "GOOS", "GOARCH"}, name)
	})
	enabled := "CGO_ENABLED=0"
	if cgo {
		enabled = "CGO_ENABLED=1"
	}
	return append(environment, enabled, "GOWORK=off")
}
