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
	command := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
	first := apt(ctx, out, "/", command...)
	if first == nil || ctx.Err() != nil {
		return first
	}
	fmt.Fprintln(out, "        fetching the lists of packages")
	if err := apt(ctx, out, "/", "update"); err != nil {
		return errors.Join(first, err)
	}
	return apt(ctx, out, "/", command...)
}

// apt runs apt-get in dir.
func apt(ctx context.Context, out io.Writer, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=600"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return watched(ctx, out, cmd)
}
