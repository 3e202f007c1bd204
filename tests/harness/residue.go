package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/moby/sys/mountinfo"
)

// Residue is everything that pods leave on a machine while they exist: one
// line for each thing. Two of them are compared around an operation that must
// leave nothing behind.
type Residue map[string]bool

// Residue looks at what exists now for this group: records, tasks, leases and
// active snapshots in containerd, mounts and files in the state directory,
// shims, interfaces, addresses and cgroups of the lab.
func (g *Group) Residue(ctx context.Context) (Residue, error) {
	found := make(Residue)
	err := errors.Join(
		g.containerdResidue(ctx, found),
		g.mountResidue(found),
		g.fileResidue(found),
		g.shimResidue(found),
		g.Lab.networkResidue(found),
		g.Lab.cgroupResidue(found),
	)
	if err != nil {
		return nil, fmt.Errorf("look for residue: %w", err)
	}
	return found, nil
}

func (r Residue) add(kind string, items ...string) {
	for _, item := range items {
		r[kind+" "+item] = true
	}
}

// Since returns what is in r and was not in before, sorted.
func (r Residue) Since(before Residue) []string {
	var more []string
	for item := range r {
		if !before[item] {
			more = append(more, item)
		}
	}
	sort.Strings(more)
	return more
}

// AwaitNoResidue waits until nothing is there that was not before: what a
// failed operation undoes may end a little after its answer.
func (g *Group) AwaitNoResidue(ctx context.Context, before Residue) error {
	return Wait(ctx, "nothing to be left behind", func(ctx context.Context) error {
		now, err := g.Residue(ctx)
		if err != nil {
			return err
		}
		if more := now.Since(before); len(more) > 0 {
			return fmt.Errorf("left behind:\n  %s", strings.Join(more, "\n  "))
		}
		return nil
	})
}

func (g *Group) containerdResidue(ctx context.Context, found Residue) error {
	client, err := containerd.New(g.Lab.ContainerdSocket)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx = namespaces.WithNamespace(ctx, g.Config.Containerd.Namespace)
	containers, err := client.ContainerService().List(ctx)
	if err != nil {
		return err
	}
	for _, c := range containers {
		found.add("container", c.ID)
	}
	sandboxes, err := client.SandboxStore().List(ctx)
	if err != nil {
		return err
	}
	for _, s := range sandboxes {
		found.add("sandbox", s.ID)
	}
	leases, err := client.LeasesService().List(ctx)
	if err != nil {
		return err
	}
	for _, l := range leases {
		found.add("lease", l.ID)
	}
	return client.SnapshotService(g.Config.Image.Snapshotter).Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Kind == snapshots.KindActive { // the committed ones are the images'
			found.add("snapshot", info.Name)
		}
		return nil
	})
}

func (g *Group) mountResidue(found Residue) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(g.dir))
	for _, m := range mounts {
		found.add("mount", m.Mountpoint)
	}
	return err
}

func (g *Group) fileResidue(found Residue) error {
	return filepath.WalkDir(g.Config.State, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone while walking
		}
		// The keeper's lock is the group's, made with the first container, and
		// each streamer has a directory for its commands, with FIFOs in reserve.
		if matched, _ := filepath.Match(filepath.Join(g.Config.State, "exec", "*", "spare"), path); matched {
			return fs.SkipDir
		}
		own := path == filepath.Join(g.Config.State, "io", "keeper.lock") ||
			filepath.Dir(path) == filepath.Join(g.Config.State, "exec")
		if err == nil && entry.Type() != fs.ModeSocket && !own {
			found.add("file", path)
		}
		return err
	})
}

// shimResidue finds the shims of the group's containerd namespace on the
// lab's containerd.
func (g *Group) shimResidue(found Residue) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil {
			continue // no process, or it has ended
		}
		args := strings.Split(string(line), "\x00")
		if strings.Contains(args[0], "containerd-shim") &&
			after(args, "-namespace") == g.Config.Containerd.Namespace &&
			strings.HasPrefix(after(args, "-address"), g.Lab.ContainerdSocket) {
			found.add("shim", after(args, "-id"))
		}
	}
	return nil
}

func after(args []string, flag string) string {
	for i, arg := range args[:len(args)-1] {
		if arg == flag {
			return args[i+1]
		}
	}
	return ""
}
