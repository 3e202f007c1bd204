package part

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Patch is one text in one file of a module that another takes the place of.
type Patch struct {
	File, Old, New string
}

// patched copies the part's module and its pins into dir, with the patch, and
// returns the go.mod that names the copy; empty if there is no patch. The go
// command does not let an overlay change files in its cache of modules.
func (c compiled) patched(ctx context.Context, s Store, dir string) (string, error) {
	if c.Patch == nil {
		return "", nil
	}
	patch, err := c.Patch()
	if err != nil {
		return "", err
	}
	module, err := c.download(ctx, s)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, "patched")
	if err := os.CopyFS(copied, os.DirFS(module)); err != nil {
		return "", fmt.Errorf("copy %s: %w", c.Module, err)
	}
	if err := patch.apply(copied); err != nil {
		return "", err
	}
	modfile := filepath.Join(dir, "go.mod")
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(c.module(s), name))
		if err != nil {
			return "", err
		}
		if name == "go.mod" {
			text = append(text, []byte("\nreplace "+c.Module+" => "+copied+"\n")...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	return modfile, nil
}

// download fetches the part's module and returns where it is.
func (c compiled) download(ctx context.Context, s Store) (string, error) {
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = c.module(s), goEnvironment(false)
		return cmd
	}
	if err := watched(ctx, s, command("mod", "download", c.Module)); err != nil {
		return "", err
	}
	dir, err := command("list", "-m", "-f", "{{.Dir}}", c.Module).Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", c.Module, err)
	}
	return strings.TrimSpace(string(dir)), nil
}

// apply changes the file below dir. The text must be there once: a version
// with another text needs another patch.
func (p Patch) apply(dir string) error {
	path := filepath.Join(dir, p.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("patch %s: %w", p.File, err)
	}
	if count := bytes.Count(text, []byte(p.Old)); count != 1 {
		return fmt.Errorf("patch %s: %q is there %d times, not once", p.File, p.Old, count)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		return fmt.Errorf("patch %s: %w", p.File, err)
	}
	return os.WriteFile(path, bytes.Replace(text, []byte(p.Old), []byte(p.New), 1), 0o644)
}
