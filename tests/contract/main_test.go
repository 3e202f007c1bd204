//go:build e2e

// Package contract_test runs the contracts that fakes fulfil against the real
// thing: each suite is written beside its fake and used here a second time.
//
// The tests use the lab that the file named by TRIVET_LAB_JSON describes, or
// else start one.
package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
)

var lab harness.LabInfo

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	stop, err := findLab()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "the lab did not end cleanly:", err)
		return 1
	}
	return code
}

// findLab returns how to end the lab.
func findLab() (stop func() error, err error) {
	if file := os.Getenv("TRIVET_LAB_JSON"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return func() error { return nil }, json.Unmarshal(text, &lab)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	if err := harness.BuildLab(ctx, os.Stderr); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "trivet-contract-")
	if err != nil {
		return nil, err
	}
	own, err := harness.StartLab(ctx, harness.LabOptions{Dir: filepath.Join(dir, "lab")})
	if err != nil {
		return nil, err
	}
	lab = own.LabInfo
	return func() error { return errors.Join(own.Stop(), os.RemoveAll(dir)) }, nil
}
