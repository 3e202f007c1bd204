package part

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packaged is a part that Debian has as a package; it is used where the
// package puts it.
type packaged struct {
	id      string
	program string
}

var (
	iptables = packaged{"iptables", "iptables"}
	crun     = packaged{"crun", "crun"}
)

func (p packaged) Name() string { return p.id + " (Debian package)" }

// Find looks on PATH and where Debian puts programs for root.
func (p packaged) Find(Store) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		path := filepath.Join(dir, p.program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", p.program, fs.ErrNotExist)
}

func (p packaged) make(ctx context.Context, s Store) error {
	if err := install(ctx, s.Out, []string{p.id}); err != nil {
		return err
	}
	_, err := p.Find(s)
	return err
}

// downloaded is a program out of a Debian package that is not installed: the
// machine may have another package that excludes it.
type downloaded struct {
	id, pkg, file string
}

var busybox = downloaded{"busybox", "busybox-static", "bin/busybox"}

func (d downloaded) Name() string { return d.id + " (Debian's " + d.pkg + ")" }

func (d downloaded) dir(s Store) string {
	return filepath.Join(s.Cache, d.id+"-"+key(d.pkg, d.file))
}

func (d downloaded) Find(s Store) (string, error) { return find(d.dir(s)) }

func (d downloaded) make(ctx context.Context, s Store) error {
	return fill(d.dir(s), func(work string) error {
		// apt drops its privileges where it can write as another user.
		if err := os.Chmod(work, 0o777); err != nil {
			return err
		}
		if err := apt(ctx, s.Out, work, "download", d.pkg); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(work, "*.deb"))
		if err != nil || len(archives) != 1 {
			return fmt.Errorf("download %s: %d archives (%w)", d.pkg, len(archives), err)
		}
		tree := filepath.Join(work, "tree")
		if err := watched(ctx, s.Out, exec.CommandContext(ctx, "dpkg-deb", "-x", archives[0], tree)); err != nil {
			return err
		}
		source := filepath.Join(tree, d.file)
		if _, err := os.Stat(source); err != nil { // since the merge of /bin into /usr/bin
			source = filepath.Join(tree, "usr", d.file)
		}
		return errors.Join(os.Rename(source, filepath.Join(work, filepath.Base(d.file))), os.RemoveAll(tree))
	})
}

// install installs those of the packages that the machine lacks.
func install(ctx context.Context, out io.Writer, packages []string) error {
	var missing []string
	for _, name := range packages {
		status, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f=${db:Status-Status}", name).Output()
		if err != nil || strings.TrimSpace(string(status)) != "installed" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintf(out, "        installing %s\n", strings.Join(missing, ", "))
	if os.Geteuid() != 0 {
		return fmt.Errorf("install %s: not root", strings.Join(missing, ", "))
	}
	return apt(ctx, out, "/", append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
}

// apt runs apt-get; if that fails, once more with fresh lists of packages.
func apt(ctx context.Context, out io.Writer, dir string, args ...string) error {
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=600"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		return watched(ctx, out, cmd)
	}
	first := run(args...)
	if first == nil || ctx.Err() != nil {
		return first
	}
	fmt.Fprintln(out, "        fetching the lists of packages")
	if err := run("update"); err != nil {
		return errors.Join(first, err)
	}
	return run(args...)
}
