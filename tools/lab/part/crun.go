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

// crunPart is crun, built from the source of the oldest Debian release whose
// crun says what it can do. Debian 12's does not, so that containerd refuses it
// pods with user namespaces. Where that source cannot be had, it is the
// machine's package after all.
type crunPart struct{}

var crun = crunPart{}

// crunRelease is the Debian release that has the source. It is taken where
// the machine has its packages, which are of an older release; a machine of a
// later one has a crun of its own that will do.
var crunRelease = release{from: "bookworm", to: "trixie"}

var (
	crunNeeds   = []string{"dpkg-dev", "gcc", "libc6-dev", "libcap-dev", "libseccomp-dev", "make", "pkg-config", "xz-utils"}
	crunOptions = []string{"--disable-systemd", "--disable-criu", "--disable-dl", "--enable-embedded-yajl"}
)

// crunPackage is Debian's, which is good where it knows the command features.
var crunPackage = packaged{"crun", "crun"}

func (crunPart) Name() string { return "crun (from Debian's source)" }

func (crunPart) dir(s Store) string {
	return filepath.Join(s.Cache, "crun-"+key(append(crunOptions, crunRelease.to)...))
}

func (c crunPart) Find(s Store) (string, error) { return find(c.dir(s)) }

func (c crunPart) make(ctx context.Context, s Store) error {
	return fill(c.dir(s), func(work string) error {
		if program, err := crunPackage.Find(s); err == nil && exec.CommandContext(ctx, program, "features").Run() == nil {
			return os.Symlink(program, filepath.Join(work, "crun"))
		}
		built := c.build(ctx, s, work)
		if built == nil || ctx.Err() != nil {
			return built
		}
		s.say("        taking the package, without user namespaces: %v", built)
		if err := crunPackage.make(ctx, s); err != nil {
			return err
		}
		program, err := crunPackage.Find(s)
		if err != nil {
			return err
		}
		return os.Symlink(program, filepath.Join(work, "crun"))
	})
}

// build makes the program in the directory work, statically linked.
func (crunPart) build(ctx context.Context, s Store, work string) error {
	if err := install(ctx, s, crunNeeds); err != nil {
		return err
	}
	scratch := filepath.Join(work, "scratch")
	defer func() { _ = os.RemoveAll(scratch) }()
	archive, err := debianArchive(ctx, s, scratch, "crun", crunRelease)
	if err != nil {
		return err
	}
	tree := filepath.Join(scratch, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"tar", "-xf", archive, "--strip-components=1"},
		append([]string{"./configure", "-q"}, crunOptions...),
		{"make", "-j4", "LDFLAGS=-all-static"},
	} {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir = tree
		if err := watched(ctx, s, cmd); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(tree, "crun"), filepath.Join(work, "crun"))
}

// release is another Debian release than that of the machine's packages.
type release struct{ from, to string }

// debianArchive fetches what a source package of another release is made of:
// the archive of its authors, without Debian's changes. apt has checked the
// archive's signature and the sums.
func debianArchive(ctx context.Context, s Store, dir, name string, other release) (string, error) {
	options, updated, err := sourceOptions(ctx, s, dir, func(text []byte) []byte {
		return bytes.ReplaceAll(text, []byte(other.from), []byte(other.to))
	})
	if err != nil {
		return "", err
	}
	if err := apt(ctx, s, dir, append(options, "source", "--download-only", "--tar-only", name)...); err != nil {
		return "", fmt.Errorf("fetch %s of Debian %s: %w", name, other.to, errors.Join(err, updated))
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.orig.tar.?z"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("fetch %s of Debian %s: %d archives came", name, other.to, len(archives))
	}
	return archives[0], nil
}
