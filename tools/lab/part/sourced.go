package part

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// sourced is a program that the machine's own release of Debian has only in a
// version that is too old. It is built from the source package of a later
// release; the machine's package is taken if it will do after all, or if that
// source cannot be had.
type sourced struct {
	id, version string
	release     release
	needs       []string   // Debian packages that the build needs
	steps       [][]string // commands in the source's tree
	product     string     // what they make, in the tree
	probe       []string   // arguments with which a program that will do exits with 0
	without     string     // what does not work with a package that will not do
}

// release is another Debian release than that of the machine's packages. It
// is taken where the machine has its packages.
type release struct{ from, to string }

var trixie = release{from: "bookworm", to: "trixie"}

func (p sourced) Name() string { return p.id + " " + p.version + " (from Debian's source)" }

func (p sourced) dir(s Store) string {
	texts := append([]string{p.version, p.release.to, p.product}, p.needs...)
	for _, step := range p.steps {
		texts = append(texts, step...)
	}
	return filepath.Join(s.Cache, p.id+"-"+key(texts...))
}

func (p sourced) Find(s Store) (string, error) { return find(p.dir(s)) }

func (p sourced) make(ctx context.Context, s Store) error {
	return fill(p.dir(s), func(work string) error {
		other := packaged{p.id, p.id}
		if program, err := other.Find(s); err == nil && exec.CommandContext(ctx, program, p.probe...).Run() == nil {
			return os.Symlink(program, filepath.Join(work, p.id))
		}
		built := p.build(ctx, s, work)
		if built == nil || ctx.Err() != nil {
			return built
		}
		s.say("        taking the package, without %s, until %s is removed: %v", p.without, p.dir(s), built)
		if err := other.make(ctx, s); err != nil {
			return err
		}
		program, err := other.Find(s)
		if err != nil {
			return err
		}
		return os.Symlink(program, filepath.Join(work, p.id))
	})
}

// build makes the program in the directory work.
func (p sourced) build(ctx context.Context, s Store, work string) error {
	if err := install(ctx, s, p.needs); err != nil {
		return err
	}
	scratch := filepath.Join(work, "scratch")
	defer func() { _ = os.RemoveAll(scratch) }()
	archive, err := p.fetch(ctx, s, scratch)
	if err != nil {
		return err
	}
	tree := filepath.Join(scratch, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	for _, command := range append([][]string{{"tar", "-xf", archive, "--strip-components=1"}}, p.steps...) {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir = tree
		if err := watched(ctx, s, cmd); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(tree, p.product), filepath.Join(work, p.id))
}

// fetch fetches into dir what the source package is made of: the archive of
// its authors, without Debian's changes. apt has checked the archive's
// signature and the sums; another version than the pinned one is an error.
func (p sourced) fetch(ctx context.Context, s Store, dir string) (string, error) {
	options, updated, err := sourceOptions(ctx, s, dir, func(text []byte) []byte {
		return bytes.ReplaceAll(text, []byte(p.release.from), []byte(p.release.to))
	})
	if err != nil {
		return "", err
	}
	if err := apt(ctx, s, dir, append(options, "source", "--download-only", "--tar-only", p.id)...); err != nil {
		return "", fmt.Errorf("fetch %s of Debian %s: %w", p.id, p.release.to, errors.Join(err, updated))
	}
	archives, err := filepath.Glob(filepath.Join(dir, p.id+"_"+p.version+".orig.tar.?z"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("fetch %s of Debian %s: %d archives of version %s came", p.id, p.release.to, len(archives), p.version)
	}
	return archives[0], nil
}
