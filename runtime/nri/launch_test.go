package nri_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// guest is this test's program as a plugin of plugin_path. Its configuration is
// the file that it reports to.
type guest struct{ report string }

// beGuest is what the program does if it was started as a plugin. One that is
// called stubborn minds neither signals nor the end of its connection.
func beGuest() {
	one := &guest{}
	options := []stub.Option{stub.WithPluginName("liar")} // the name of the file counts
	if os.Getenv(api.PluginNameEnvVar) == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
		options = append(options, stub.WithOnClose(func() {}))
	}
	plugin, err := stub.New(one, options...)
	if err == nil {
		err = plugin.Run(context.Background())
	}
	if os.Getenv(api.PluginNameEnvVar) == "stubborn" {
		select {}
	}
	fmt.Println("guest has ended:", err)
	os.Exit(1)
}

func (g *guest) say(format string, args ...any) {
	file, err := os.OpenFile(g.report, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer func() { _ = file.Close() }()
	_, _ = fmt.Fprintf(file, format+"\n", args...)
}

func (g *guest) Configure(_ context.Context, report, _, _ string) (stub.EventMask, error) {
	g.report = strings.TrimSpace(report)
	g.say("pid %d", os.Getpid())
	return 0, nil
}

func (g *guest) Synchronize(_ context.Context, pods []*api.PodSandbox, _ []*api.Container) ([]*api.ContainerUpdate, error) {
	for _, p := range pods {
		g.say("exists %s", p.GetName())
	}
	return nil, nil
}

func (g *guest) RunPodSandbox(_ context.Context, p *api.PodSandbox) error {
	g.say("run %s", p.GetName())
	if p.GetName() == "hang" {
		select {}
	}
	return nil
}

// programs is plugin_path with programs that are this test's, or scripts.
type programs struct{ dir, conf, reports string }

func newPrograms(t *testing.T) *programs {
	t.Helper()
	return &programs{t.TempDir(), t.TempDir(), t.TempDir()}
}

// use is the part of the configuration.
func (p *programs) use(cfg *config.NRI) { cfg.PluginPath, cfg.PluginConfigPath = p.dir, p.conf }

// guest adds one, whose configuration has a name.
func (p *programs) guest(t *testing.T, name, conf string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(p.reports, name)
	for _, err := range []error{
		os.Symlink(self, filepath.Join(p.dir, name)),
		os.WriteFile(filepath.Join(p.conf, conf+".conf"), []byte(report+"\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (p *programs) script(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

// said is what a guest has reported, and the process ids in it.
func (p *programs) said(t *testing.T, name string) (lines []string, pids []int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.reports, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if pid, ok := strings.CutPrefix(line, "pid "); ok {
			n, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
			continue
		}
		lines = append(lines, line)
	}
	return lines, pids
}

func lives(pid int) bool { return syscall.Kill(pid, 0) == nil }

// TestPrograms: plugins of plugin_path are configured and take part from the
// first pod on; one that dies is back, told of what exists; none outlives this
// process, and what is no plugin disturbs nobody.
func TestPrograms(t *testing.T) {
	t.Parallel()
	all := newPrograms(t)
	all.guest(t, "10-first", "10-first")
	all.guest(t, "20-stubborn", "stubborn")
	all.script(t, "30-broken", "echo cannot >&2; exit 3")
	all.script(t, "no-index", "exit 1")
	// In WebAssembly, and empty: the library says no.
	if err := os.WriteFile(filepath.Join(all.dir, "40-module"), []byte("\x00asm\x01\x00\x00\x00"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(all.dir, "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, all.use, require("first"), func(cfg *config.NRI) { cfg.DisableConnections = true })
	n.run(t, "web") // waits for them
	n.registered(t, "10-first", "20-stubborn")
	if _, err := os.Stat(n.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("connections are disabled, and the socket: %v", err)
	}
	heard, first := all.said(t, "10-first")
	if !slices.Equal(heard, []string{"run web"}) || len(first) != 1 || !lives(first[0]) {
		t.Fatalf("the first has heard %q, and is %v", heard, first)
	}
	if err := syscall.Kill(first[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the first to come back", func() bool { _, pids := all.said(t, "10-first"); return len(pids) == 2 })
	n.registered(t, "10-first", "20-stubborn")
	n.run(t, "next")
	heard, first = all.said(t, "10-first")
	if !slices.Equal(heard, []string{"run web", "exists web", "run next"}) {
		t.Errorf("the first has heard %q", heard)
	}
	_, stubborn := all.said(t, "20-stubborn")
	n.end()
	for _, pid := range append(first, stubborn...) {
		if lives(pid) {
			t.Errorf("process %d lives on", pid)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(n.socket), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestProgramHangs: one that does not answer is another process from then on,
// and one that never registers holds up nobody for long.
func TestProgramHangs(t *testing.T) {
	t.Parallel()
	all := newPrograms(t)
	all.script(t, "05-silent", "exec sleep 1000")
	all.guest(t, "10-stubborn", "stubborn")
	n := newNode(t, all.use, require("stubborn"))
	if _, err := n.pods.Run(t.Context(), podtest.Sandbox("hang"), ""); !errdefs.IsUnavailable(err) {
		t.Errorf("got %v", err)
	}
	await(t, "it to be started again", func() bool { _, pids := all.said(t, "10-stubborn"); return len(pids) == 2 })
	_, pids := all.said(t, "10-stubborn")
	if lives(pids[0]) {
		t.Error("the process that hung lives on")
	}
	n.registered(t, "10-stubborn")
	n.run(t, "next")
	n.connect(t, "20", "external") // has no configuration
}

// TestNoProgram: a configuration that cannot be read, or a directory that is
// none, is tried again.
func TestNoProgram(t *testing.T) {
	t.Parallel()
	all := newPrograms(t)
	all.guest(t, "10-first", "first")
	conf := filepath.Join(all.conf, "10-first.conf")
	if err := os.Mkdir(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, all.use)
	n.run(t, "web")
	if names := n.plugins.Registered(); len(names) > 0 {
		t.Errorf("registered are %q", names)
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	n.registered(t, "10-first")
	n.end()
	file := filepath.Join(all.conf, "first.conf")
	n.cfg.PluginPath = file // no directory
	n.begin(t)
	n.run(t, "next")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	n.connect(t, "10", "late")
}

// TestTurn: what plugins may take for a hook is for all of them. Who is not
// reached is not dropped for it; it counts as not having answered, and hears of
// an end in another turn.
func TestTurn(t *testing.T) {
	t.Parallel()
	n := newNode(t, require("last"))
	slow := func(context.Context) error {
		time.Sleep(requestTimeout * 7 / 10) // what is tested is time
		return nil
	}
	lazy := func(p *plugin) { p.hooks["create"], p.hooks["stop"] = slow, slow }
	n.connect(t, "10", "a", lazy)
	n.connect(t, "20", "b", lazy)
	last := n.connect(t, "30", "last")
	p := n.run(t, "web")
	begun := time.Now()
	_, err := n.containers.Create(t.Context(), p, containertest.Config("server"))
	// Its end, which is told, is waited for once.
	if took := time.Since(begun); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "last") || took > 3*requestTimeout {
		t.Errorf("after %s: %v", took, err)
	}
	n.registered(t, "10-a", "20-b", "30-last")
	await(t, "the end to be told", func() bool { return slices.Contains(last.story(), "remove server") })
	if story := last.story(); !slices.Equal(story, []string{"run web", "stop server", "remove server"}) {
		t.Errorf("the last heard %q", story)
	}
	n.registered(t, "10-a", "20-b", "30-last")
}

// TestTellAll: an error of one plugin does not keep an end from the others.
func TestTellAll(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.connect(t, "10", "grumbler", func(p *plugin) {
		p.hooks["stop pod"] = func(context.Context) error { return errors.New("no") }
	})
	other := n.connect(t, "20", "other")
	n.remove(t, n.run(t, "web"))
	if story := other.story(); !slices.Equal(story, []string{"run web", "stop pod web", "remove pod web"}) {
		t.Errorf("the other heard %q", story)
	}
	n.registered(t, "10-grumbler", "20-other")
}
