package main

import (
	"log/slog"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/classes"
)

// loadClasses reads the classes of RDT and block I/O.
func loadClasses(cfg config.Runtime, log *slog.Logger) (*classes.Classes, error) {
	return classes.Load(cfg, log)
}
