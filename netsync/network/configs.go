package network

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-cri/trivet/netsync/latest"
)

// Source is a directory to load from.
type Source struct {
	// Group names the group: empty for the node's default.
	Group string
	// Dir is the directory; it may appear, go and come back.
	Dir string
	// Limit is how many networks to use, 0 for all.
	Limit int
}

// Configs keeps the snapshot of all groups up to date while Run runs.
// Reading is safe for concurrent use and never waits.
type Configs struct {
	sources []Source
	poll    time.Duration
	log     *slog.Logger
	value   *latest.Value[*Snapshot]
}

// NewConfigs loads sources once; what is broken or missing is in the snapshot.
// poll is how often Run reads the directories without a file event.
func NewConfigs(sources []Source, poll time.Duration, log *slog.Logger) *Configs {
	empty := &Snapshot{}
	for _, s := range sources {
		empty.Groups = append(empty.Groups, &Group{Name: s.Group, Dir: s.Dir, Err: errors.New("not read yet")})
	}
	c := &Configs{sources: sources, poll: poll, log: log, value: latest.New(empty)}
	c.reload(context.Background())
	return c
}

// Snapshot returns the newest state.
func (c *Configs) Snapshot() *Snapshot { return c.value.Get() }

// Watch returns the newest state and a channel that is closed when it changes.
func (c *Configs) Watch() (*Snapshot, <-chan struct{}) { return c.value.Watch() }

// Run reloads on file events and every poll interval until ctx ends.
func (c *Configs) Run(ctx context.Context) error {
	dirs := make([]string, 0, len(c.sources))
	for _, s := range c.sources {
		dirs = append(dirs, s.Dir)
	}
	w := newWatcher(dirs, c.log)
	defer w.close()
	ticker := time.NewTicker(c.poll)
	defer ticker.Stop()
	for {
		// Armed before read: what changes in between gives an event.
		w.arm(ctx)
		c.reload(ctx)
		if !w.wait(ctx, ticker.C) {
			return nil
		}
	}
}

// reload reads every directory and publishes the result if it differs.
// Only the owner calls it: the constructor, then Run.
func (c *Configs) reload(ctx context.Context) {
	old := c.value.Get()
	next := &Snapshot{}
	changed := false
	for i, source := range c.sources {
		group := c.load(source, old.Groups[i])
		if group.same(old.Groups[i]) {
			group = old.Groups[i]
		} else {
			changed = true
			c.report(ctx, group)
		}
		next.Groups = append(next.Groups, group)
	}
	if changed {
		c.value.Set(next)
	}
}

// load reads one directory; on error the networks of before stay.
func (c *Configs) load(source Source, before *Group) *Group {
	group := &Group{Name: source.Group, Dir: source.Dir}
	group.Networks, group.Err = Load(source.Dir, source.Limit)
	if group.Err != nil {
		group.Networks = before.Networks
	}
	return group
}

func (c *Configs) report(ctx context.Context, group *Group) {
	names := make([]string, 0, len(group.Networks))
	for _, n := range group.Networks {
		names = append(names, n.Name)
	}
	switch {
	case group.Err == nil:
		c.log.InfoContext(ctx, "network configuration loaded", "dir", group.Dir, "networks", names)
	case len(names) > 0:
		c.log.WarnContext(ctx, "network configuration is broken, the last good one stays in use", "dir", group.Dir, "networks", names, "error", group.Err)
	default:
		c.log.WarnContext(ctx, "no network is configured", "dir", group.Dir, "error", group.Err)
	}
}
