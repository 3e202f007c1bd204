package network_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/netsync/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running starts Configs whose only hope are file events, unless poll says
// otherwise, and stops them with the test.
func running(t *testing.T, poll time.Duration, sources ...network.Source) *network.Configs {
	t.Helper()
	c := network.NewConfigs(sources, poll, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// await waits until the group is as good says.
func await(t *testing.T, c *network.Configs, group, what string, good func(names, problem string) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		snapshot, changed := c.Watch()
		g, ok := snapshot.Group(group)
		if !ok {
			t.Fatalf("no group %q", group)
		}
		var names []string
		for _, n := range g.Networks {
			names = append(names, n.Name)
		}
		problem := ""
		if g.Err != nil {
			problem = g.Err.Error()
		}
		if good(strings.Join(names, " "), problem) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("in vain waited for %s: networks %q, error %q", what, names, problem)
		}
	}
}

func TestConfigsFollowTheDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b", "net.d")
	c := running(t, time.Hour, network.Source{Dir: dir, Limit: 1})
	loaded := func(name string) func(string, string) bool {
		return func(names, problem string) bool { return names == name && problem == "" }
	}
	kept := func(name, about string) func(string, string) bool {
		return func(names, problem string) bool { return names == name && strings.Contains(problem, about) }
	}
	await(t, c, "", "the missing directory", kept("", dir))

	write(t, dir, map[string]string{"10.conflist": list("one")})
	await(t, c, "", "the first configuration", loaded("one"))
	write(t, dir, map[string]string{"10.conflist": list("two")})
	await(t, c, "", "an edit", loaded("two"))
	write(t, dir, map[string]string{"10.conflist": `{"name":`})
	await(t, c, "", "the broken one", kept("two", "10.conflist"))
	write(t, dir, map[string]string{"10.conflist": list("three")})
	await(t, c, "", "the repair", loaded("three"))
	write(t, dir, map[string]string{"05.conflist": list("earlier")})
	await(t, c, "", "an earlier file", loaded("earlier"))

	for range 3 {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		await(t, c, "", "the removal", func(names, problem string) bool { return names != "" && strings.Contains(problem, dir) })
		write(t, dir, map[string]string{"10.conflist": list("again")})
		await(t, c, "", "the re-creation", loaded("again"))
	}
	// Moved away and replaced, the parents as well.
	if err := os.Rename(filepath.Dir(dir), filepath.Dir(dir)+".old"); err != nil {
		t.Fatal(err)
	}
	await(t, c, "", "the move", kept("again", dir))
	write(t, dir, map[string]string{"10.conflist": list("moved")})
	await(t, c, "", "the replacement", loaded("moved"))
	if err := os.Rename(filepath.Join(dir, "10.conflist"), filepath.Join(dir, "10.off")); err != nil {
		t.Fatal(err)
	}
	await(t, c, "", "the empty directory", kept("moved", "no network configuration"))
}

// TestConfigsPoll changes what gives no event: the target of a link.
func TestConfigsPoll(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	write(t, elsewhere, map[string]string{"file": list("one")})
	if err := os.Symlink(filepath.Join(elsewhere, "file"), filepath.Join(dir, "10.conflist")); err != nil {
		t.Fatal(err)
	}
	c := running(t, 20*time.Millisecond, network.Source{Dir: dir})
	await(t, c, "", "the first", func(names, _ string) bool { return names == "one" })
	write(t, elsewhere, map[string]string{"file": list("two")})
	await(t, c, "", "the second", func(names, _ string) bool { return names == "two" })
}

func TestGroupsAreApart(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	cfg := config.Default()
	cfg.CNI.ConfDir = one
	cfg.Runtime.Handlers["vm"] = config.Handler{CNIConfDir: two, CNIMaxConfNum: 1}
	cfg.Runtime.Handlers["vm2"] = config.Handler{CNIConfDir: two}
	sources, warnings := network.Sources(cfg)
	if len(sources) != 2 || sources[1].Limit != 0 || len(warnings) != 1 || !strings.Contains(warnings[0], "vm2") {
		t.Fatalf("sources %v, warnings %v", sources, warnings)
	}
	write(t, one, map[string]string{"1.conflist": list("a")})
	write(t, two, map[string]string{"1.conflist": list("b"), "2.conflist": list("c")})
	c := running(t, time.Hour, sources...)
	await(t, c, "", "the default", func(names, _ string) bool { return names == "a" })
	await(t, c, two, "the handler's", func(names, _ string) bool { return names == "b c" })
	before, _ := c.Snapshot().Group("")
	write(t, two, map[string]string{"1.conflist": "{"})
	await(t, c, two, "the broken one", func(names, problem string) bool { return names == "b c" && problem != "" })
	if after, _ := c.Snapshot().Group(""); after != before {
		t.Error("the default group changed")
	}
	if _, ok := c.Snapshot().Group("/other"); ok {
		t.Error("there is a group that nobody configured")
	}
}
