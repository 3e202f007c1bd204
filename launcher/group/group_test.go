package group_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/launcher/group"
	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a directory with a configuration and programs.
type site struct {
	dir    string
	source group.Source
	config *config.Config
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), config: config.Default()}
	s.source = group.Source(filepath.Join(s.dir, "trivet.toml"))
	s.config.State, s.config.Launcher.BinDir = filepath.Join(s.dir, "state"), s.dir
	for _, name := range []string{"runtime", "streamer", "netsync"} {
		ok(t, os.WriteFile(filepath.Join(s.dir, "trivet-"+name), nil, 0o755))
	}
	s.write(t)
	return s
}

func (s *site) write(t *testing.T) {
	t.Helper()
	f, err := os.Create(string(s.source))
	ok(t, err)
	ok(t, errors.Join(s.config.Write(f), f.Close()))
}

func (s *site) read(t *testing.T) *group.Settings {
	t.Helper()
	settings, err := s.source.Read()
	ok(t, err)
	return settings
}

func TestPlan(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.Launcher.Critical = []string{"runtime", "netsync"}
	s.config.Streamer.Socket = filepath.Join(s.dir, "elsewhere.sock")
	s.config.Launcher.StartTimeout = config.Duration(time.Hour)
	s.write(t)
	cri, stream := process.File{Name: "cri"}, process.File{Name: "stream"}
	plan, err := (&group.Planner{CRI: cri, Stream: stream}).Plan(s.read(t))
	ok(t, err)
	copied := filepath.Join(s.config.State, "config.toml")
	member := func(name, socket string, critical bool, files ...process.File) supervisor.Member {
		return supervisor.Member{
			Name: name, Critical: critical, HealthSocket: socket,
			Command: process.Command{Name: name, Path: filepath.Join(s.dir, "trivet-"+name), Args: []string{"-c", copied}, Files: files},
		}
	}
	want := [][]supervisor.Member{
		{
			member("netsync", s.config.NetSyncSocket(), true),
			member("streamer", s.config.Streamer.Socket, false, stream),
		},
		{member("runtime", s.config.HealthSocket(), true, cri)},
	}
	want[0][1].HandsOver = true
	if !reflect.DeepEqual(plan.Stages, want) {
		t.Errorf("stages are %+v\nwant %+v", plan.Stages, want)
	}
	if plan.Limits.Start != time.Hour || plan.Limits.Drain != 4*time.Hour || plan.Limits.Threshold != 3 || plan.Limits.Backoff.Max != 30*time.Second {
		t.Errorf("limits are %+v", plan.Limits)
	}

	// The members read what was accepted, not what the file has become.
	accepted, err := os.ReadFile(string(s.source))
	ok(t, err)
	ok(t, os.WriteFile(string(s.source), []byte("nonsense"), 0o600))
	for range 2 { // each generation
		ok(t, plan.Prepare())
		text, err := os.ReadFile(copied)
		ok(t, err)
		if !slices.Equal(text, accepted) {
			t.Errorf("the copy is %q", text)
		}
		ok(t, os.WriteFile(copied, []byte("damaged"), 0o600))
	}
	ok(t, os.Remove(filepath.Join(s.dir, "trivet-runtime")))
	if err := plan.Prepare(); err == nil || !strings.Contains(err.Error(), "program of runtime") {
		t.Errorf("without a program: %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	if _, err := group.Source("/no/such/file").Read(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if path := group.Source("").Path(); path != config.DefaultPath {
		t.Errorf("path is %q", path)
	}
}

// restarts is a Restarter and a Notifier that remembers.
type restarts struct {
	plans []*supervisor.Plan
	told  []string
	err   error
}

func (r *restarts) Restart(_ context.Context, _ string, plan *supervisor.Plan) (int64, error) {
	r.plans = append(r.plans, plan)
	return int64(len(r.plans) + 1), r.err
}

func (r *restarts) Reloading() { r.told = append(r.told, "reloading") }

func (r *restarts) Reloaded(err error) {
	if err != nil {
		r.told = append(r.told, "refused")
		return
	}
	r.told = append(r.told, "reloaded")
}

func TestReload(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(*config.Config)
		kind error // nil when it is accepted
		says string
	}{
		"same":            {func(*config.Config) {}, nil, ""},
		"limits":          {func(c *config.Config) { c.Launcher.HealthThreshold = 9 }, nil, ""},
		"out of range":    {func(c *config.Config) { c.Launcher.HealthThreshold = 0 }, errdefs.ErrInvalidArgument, "launcher.health_threshold: 0 is less than 1"},
		"missing program": {func(c *config.Config) { c.Launcher.BinDir = "/nowhere" }, errdefs.ErrFailedPrecondition, "/nowhere/trivet-netsync"},
		"state":           {func(c *config.Config) { c.State = "/other" }, errdefs.ErrInvalidArgument, "state: cannot change"},
		"launcher socket": {func(c *config.Config) { c.Launcher.Socket = "/other" }, errdefs.ErrInvalidArgument, "launcher.socket: cannot change"},
		"metrics":         {func(c *config.Config) { c.Metrics.Address = "[::1]:9" }, errdefs.ErrInvalidArgument, "metrics.address: cannot change"},
		"CRI socket":      {func(c *config.Config) { c.Runtime.Socket = "/other" }, errdefs.ErrInvalidArgument, "runtime.socket: cannot change"},
		"address":         {func(c *config.Config) { c.Streamer.Address = "::1" }, errdefs.ErrInvalidArgument, "streamer.stream_server_address: cannot change from 127.0.0.1 to ::1"},
		"port":            {func(c *config.Config) { c.Streamer.Port = 1 }, errdefs.ErrInvalidArgument, "streamer.stream_server_port: cannot change from 0 to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			r := &restarts{}
			reloader := group.NewReloader(s.source, s.read(t), &group.Planner{}, r, r)
			test.edit(s.config)
			s.write(t)
			generation, err := reloader.Reload(t.Context())
			if test.kind == nil {
				if err != nil || generation != 2 || !slices.Equal(r.told, []string{"reloading", "reloaded"}) {
					t.Errorf("generation %d, %v; told %q", generation, err, r.told)
				}
				return
			}
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v, want %q", err, test.says)
			}
			if len(r.plans) > 0 || !slices.Equal(r.told, []string{"reloading", "refused"}) {
				t.Errorf("%d restarts; told %q", len(r.plans), r.told)
			}
		})
	}
}
