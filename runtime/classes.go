package main

import (
	"log/slog"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/classes"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// loadClasses reads the classes of RDT and block I/O.
func loadClasses(cfg config.Runtime, log *slog.Logger) (spec.Classes, error) {
	loaded, err := classes.Load(cfg, log)
	if err != nil {
		return nil, err
	}
	return loaded, nil
}
