//go:build e2e

package e2e_test

import (
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/soak"
)

// TestSoak is tools/soak for some seconds.
func TestSoak(t *testing.T) {
	group := ownGroup(t, harness.AsInProduction)
	before, after, err := soak.Run(limit(t, 5*time.Minute), group, soak.Amount{
		Execs: 200, Attaches: 60, Forwards: 60, AtOnce: 4, Progress: t.Logf,
	})
	if err != nil {
		t.Errorf("%v\nbefore %v\nafter  %v", err, before, after)
	}
}
