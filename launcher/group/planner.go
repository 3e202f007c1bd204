package group

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/launcher/process"
	"github.com/trivet-cri/trivet/launcher/supervisor"
)

// Planner makes plans that pass on the same listeners.
type Planner struct {
	// CRI goes to the runtime, Stream to the streamer.
	CRI, Stream process.File
}

// Plan returns the plan of settings. It fails when a member's program is
// missing: such a generation could never start.
func (p *Planner) Plan(settings *Settings) (*supervisor.Plan, error) {
	cfg := settings.Config
	dir, err := binDir(cfg)
	if err != nil {
		return nil, err
	}
	member := func(name, socket string, files ...process.File) supervisor.Member {
		return supervisor.Member{
			Name: name, Critical: slices.Contains(cfg.Launcher.Critical, name), HealthSocket: socket,
			Command: process.Command{
				Name: name, Path: filepath.Join(dir, "trivet-"+name),
				Args: []string{"-c", settings.copyPath()}, Files: files,
			},
		}
	}
	streamer := member("streamer", cfg.StreamerSocket(), p.Stream)
	streamer.HandsOver = true
	plan := &supervisor.Plan{
		Revision: revision(settings.text),
		Stages: [][]supervisor.Member{
			{
				member("netsync", cfg.NetSyncSocket()),
				streamer,
			},
			{member("runtime", cfg.HealthSocket(), p.CRI)},
		},
		Limits: limits(&cfg.Launcher),
	}
	plan.Prepare = func() error { return errors.Join(checkPrograms(plan), settings.writeCopy()) }
	return plan, checkPrograms(plan)
}

// checkPrograms looks for every member's program.
func checkPrograms(plan *supervisor.Plan) error {
	var missing []error
	for _, stage := range plan.Stages {
		for _, m := range stage {
			missing = append(missing, m.Command.Check())
		}
	}
	return errors.Join(missing...)
}

// binDir is where the members' programs are.
func binDir(cfg *config.Config) (string, error) {
	if cfg.Launcher.BinDir != "" {
		return cfg.Launcher.BinDir, nil
	}
	own, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the members' programs: %w", err)
	}
	return filepath.Dir(own), nil
}

func limits(l *config.Launcher) supervisor.Limits {
	return supervisor.Limits{
		Start: l.StartTimeout.Std(), Stop: l.StopTimeout.Std(),
		Interval: l.HealthInterval.Std(), Timeout: l.HealthTimeout.Std(), Threshold: l.HealthThreshold,
		Drain:   l.DrainTimeout.Std(),
		Backoff: supervisor.Backoff{Min: l.BackoffMin.Std(), Max: l.BackoffMax.Std(), Reset: l.BackoffReset.Std()},
	}
}

func revision(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
