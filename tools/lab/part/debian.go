package part

import (
	"context"
	"errors"
	"fmt"
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

var iptables = packaged{"iptables", "iptables"}

func (p packaged) Name() string { return p.id + " (Debian package)" }

// Find looks on PATH and where Debian puts programs for root.
func (p packaged) Find(Store) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		path := filepath.Join(dir, p.program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", p.program, ErrMissing)
}

func (p packaged) make(ctx context.Context, s Store) error {
	if err := install(ctx, s, []string{p.id}); err != nil {
		return err
	}
	_, err := p.Find(s)
	return err
}

// install installs those of the packages that the machine lacks.
func install(ctx context.Context, s Store, packages []string) error {
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
	s.say("        installing %s", strings.Join(missing, ", "))
	if os.Geteuid() != 0 {
		return fmt.Errorf("install %s: not root", strings.Join(missing, ", "))
	}
	command := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
	first := apt(ctx, s, "/", command...)
	if first == nil || ctx.Err() != nil {
		return first
	}
	s.say("        fetching the lists of packages")
	if err := apt(ctx, s, "/", "update"); err != nil {
		return errors.Join(first, err)
	}
	return apt(ctx, s, "/", command...)
}

// apt runs apt-get in dir.
func apt(ctx context.Context, s Store, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=600"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return watched(ctx, s, cmd)
}
