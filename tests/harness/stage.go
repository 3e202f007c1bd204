package harness

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/trivet-cri/trivet/internal/config"
)

// StageOptions describe a stage.
type StageOptions struct {
	Dir      string // all files; short, for sockets are made below it
	Baseline bool   // the built-in CRI plugin in the place of Trivet
	Jaeger   bool
	Progress func(string)         // told each step; may be nil
	Edit     func(*config.Config) // changes Trivet's configuration; may be nil
}

// Stage is a lab with one CRI on it, Trivet's or the baseline's.
type Stage struct {
	Lab *Lab
	// Group is nil for the baseline.
	Group *Group
	cri   *CRI
}

// StartStage builds Trivet and starts a lab and a CRI on it.
func StartStage(ctx context.Context, options StageOptions) (*Stage, error) {
	progress := options.Progress
	if progress == nil {
		progress = func(string) {}
	}
	binaries := ""
	if !options.Baseline {
		progress("building Trivet")
		built, err := Build(ctx, filepath.Join(options.Dir, "bin"))
		if err != nil {
			return nil, err
		}
		binaries = built
	}
	progress("starting the lab")
	lab, err := StartLab(ctx, LabOptions{Dir: filepath.Join(options.Dir, "lab"), CRI: options.Baseline, Jaeger: options.Jaeger})
	if err != nil {
		return nil, err
	}
	stage := &Stage{Lab: lab}
	if options.Baseline {
		progress("waiting for containerd's built-in plugin")
		stage.cri, err = StartBaseline(ctx, lab)
	} else {
		progress("starting Trivet")
		stage.Group, err = StartGroup(ctx, lab, GroupOptions{Dir: filepath.Join(options.Dir, "trivet"), BinDir: binaries, Edit: options.Edit})
	}
	if err != nil {
		return nil, errors.Join(err, lab.Stop())
	}
	return stage, nil
}

// CRI is the client of the stage's endpoint.
func (s *Stage) CRI() *CRI {
	if s.Group != nil {
		return s.Group.CRI
	}
	return s.cri
}

// Stop removes all pods, then ends the CRI and the lab.
func (s *Stage) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), labStop)
	defer cancel()
	var purged, stopped error
	if err := s.CRI().Purge(ctx); err != nil {
		purged = fmt.Errorf("remove all pods: %w", err)
	}
	if s.Group != nil {
		stopped = s.Group.Stop()
	} else {
		stopped = s.cri.Close()
	}
	return errors.Join(purged, stopped, s.Lab.Stop())
}
