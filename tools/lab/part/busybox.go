package part

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// busyboxPart is busybox, built from Debian's source package the way Debian
// builds busybox-static, but for a few options.
type busyboxPart struct{}

var busybox = busyboxPart{}

// Applets that tests call and Debian's lacks.
var busyboxOn = []string{"IPCS", "NOHUP", "PGREP", "PKILL"}

// Debian's shell runs its own applets even where the file of that name is
// masked or missing. In the images that we stand in for, it does not.
var busyboxOff = []string{"FEATURE_PREFER_APPLETS", "FEATURE_SH_STANDALONE"}

var busyboxNeeds = []string{"bzip2", "dpkg-dev", "gcc", "libc6-dev", "make", "patch", "xz-utils"}

func (busyboxPart) Name() string { return "busybox (from Debian's source)" }

func (busyboxPart) dir(s Store) string {
	return filepath.Join(s.Cache, "busybox-"+key(append(busyboxOn, busyboxOff...)...))
}

func (b busyboxPart) Find(s Store) (string, error) { return find(b.dir(s)) }

func (b busyboxPart) make(ctx context.Context, s Store) error {
	if err := install(ctx, s, busyboxNeeds); err != nil {
		return err
	}
	return fill(b.dir(s), func(work string) error {
		scratch := filepath.Join(work, "scratch")
		tree, err := debianSource(ctx, s, scratch, "busybox")
		if err != nil {
			return err
		}
		if err := configureBusybox(tree); err != nil {
			return err
		}
		for _, target := range []string{"silentoldconfig", "busybox"} {
			cmd := exec.CommandContext(ctx, "make", "-j4", "KCONFIG_NOTIMESTAMP=1", target)
			cmd.Dir = tree
			// New options keep their defaults.
			cmd.Stdin = strings.NewReader(strings.Repeat("\n", 1000))
			if err := watched(ctx, s, cmd); err != nil {
				return err
			}
		}
		if err := os.Rename(filepath.Join(tree, "busybox"), filepath.Join(work, "busybox")); err != nil {
			return err
		}
		return os.RemoveAll(scratch)
	})
}

func configureBusybox(tree string) error {
	config, err := os.ReadFile(filepath.Join(tree, "debian/config/pkg/static"))
	if err != nil {
		return fmt.Errorf("configure busybox: %w", err)
	}
	return os.WriteFile(filepath.Join(tree, ".config"), setOptions(config, busyboxOn, busyboxOff), 0o644)
}

// setOptions switches options of a kernel-style configuration on and off.
func setOptions(config []byte, on, off []string) []byte {
	set := func(option, line string) {
		config = regexp.MustCompile(`(?m)^(# )?CONFIG_`+option+`[ =].*\n`).ReplaceAll(config, nil)
		config = append(config, line+"\n"...)
	}
	for _, option := range on {
		set(option, "CONFIG_"+option+"=y")
	}
	for _, option := range off {
		set(option, "# CONFIG_"+option+" is not set")
	}
	return config
}

// debianSource fetches and unpacks a source package into dir and returns its
// tree. The machine's lists of packages stay as they are: the lists of source
// packages are fetched into dir, from where the machine has its packages.
func debianSource(ctx context.Context, s Store, dir, name string) (string, error) {
	options, updated, err := sourceOptions(ctx, s, dir, func(text []byte) []byte { return text })
	if err != nil {
		return "", err
	}
	if err := apt(ctx, s, dir, append(options, "source", "--download-only", name)...); err != nil {
		return "", fmt.Errorf("fetch Debian's source of %s: %w", name, errors.Join(err, updated))
	}
	descriptions, err := filepath.Glob(filepath.Join(dir, "*.dsc"))
	if err != nil || len(descriptions) != 1 {
		return "", fmt.Errorf("fetch Debian's source of %s: %d packages came", name, len(descriptions))
	}
	tree := filepath.Join(dir, "tree")
	// apt has checked the archive's signature and the sums.
	return tree, watched(ctx, s, exec.CommandContext(ctx, "dpkg-source", "--no-check", "-x", descriptions[0], tree))
}

// sourceOptions fetches the lists of source packages into dir and returns the
// options that make apt use them. change is made to the machine's sources. One
// list that cannot be had does not matter if the package can: that error is
// updated.
func sourceOptions(ctx context.Context, s Store, dir string, change func([]byte) []byte) (options []string, updated, err error) {
	parts, lists := filepath.Join(dir, "sources"), filepath.Join(dir, "lists")
	for _, sub := range []string{parts, filepath.Join(lists, "partial")} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return nil, nil, err
		}
	}
	if err := sourceLists("/etc/apt", parts, change); err != nil {
		return nil, nil, err
	}
	options = []string{"-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + parts, "-o", "Dir::State::lists=" + lists}
	return options, apt(ctx, s, dir, append(options, "update")...), nil
}

// sourceLists writes into dir where source packages are, given where apt is
// configured to find packages.
func sourceLists(etc, dir string, change func([]byte) []byte) error {
	var files []string
	for _, pattern := range []string{"sources.list", "sources.list.d/*.list", "sources.list.d/*.sources"} {
		found, err := filepath.Glob(filepath.Join(etc, pattern))
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read apt's sources: %w", err)
		}
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), change(sourcesOf(text)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

var (
	packagesType = regexp.MustCompile(`(?mi)^Types:.*$`)
	packagesLine = regexp.MustCompile(`(?m)^\s*deb(-src)?\s+`)
)

// sourcesOf turns one of apt's files, in either format, into one of source
// packages.
func sourcesOf(text []byte) []byte {
	text = packagesType.ReplaceAll(text, []byte("Types: deb-src"))
	return packagesLine.ReplaceAll(text, []byte("deb-src "))
}
