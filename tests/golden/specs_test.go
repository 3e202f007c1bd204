//go:build e2e

package golden_test

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/golden"
	"github.com/trivet-cri/trivet/tests/harness"
)

//go:embed differences.txt
var differences string

// request is a container that is asked for in a pod of a kind.
type request struct {
	pod      string // "plain" if empty
	targeted bool   // a container of the pod runs, and is named as the target
	pause    bool   // nothing is asked for: the pause container is compared
	edit     func(*runtimeapi.ContainerConfig)
}

// requests are the tables of all files, by the name of the table and of the
// request in it.
func requests() map[string]request {
	all := make(map[string]request)
	for table, entries := range map[string]map[string]request{
		"user": userRequests, "process": processRequests, "security": securityRequests, "namespace": namespaceRequests,
		"mount": mountRequests, "device": deviceRequests, "resource": resourceRequests, "handler": handlerRequests, "pod": podRequests, "pause": pauseRequests,
	} {
		for name, r := range entries {
			if r.pod == "" {
				r.pod = "plain"
			}
			all[table+"/"+name] = r
		}
	}
	return all
}

// TestSpecs is the comparison.
func TestSpecs(t *testing.T) {
	listed, err := golden.ParseDifferences(differences)
	if err != nil {
		t.Fatalf("differences.txt: %v", err)
	}
	all := requests()
	compared := 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			builtIn, trivet, err := both(ctx, name, all[name])
			if err != nil {
				t.Fatal(err)
			}
			for _, change := range listed.Unlisted(name, golden.Compare(builtIn, trivet)) {
				t.Errorf("not in differences.txt:\nin:       %s\n%s", name, change)
			}
			compared++
		})
	}
	if compared < len(all) {
		return // only some ran
	}
	t.Logf("%d specs compared, %d kinds of differences stay", compared, len(listed))
	for _, entry := range listed.Stale() {
		t.Errorf("differences.txt is stale: nothing needs %s", entry)
	}
}

// both creates the container on both sides, reads their specs and removes
// them.
func both(ctx context.Context, name string, r request) (builtInSpec, trivetSpec map[string]any, err error) {
	specs := make([]map[string]any, 2)
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range []*side{builtIn, trivet} {
		group.Go(func() error {
			var err error
			if r.pause {
				specs[i], err = s.pauseSpec(ctx, r.pod)
			} else {
				specs[i], err = s.createdSpec(ctx, name, r)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			return nil
		})
	}
	err = group.Wait()
	return specs[0], specs[1], err
}

// edits joins several.
func edits(all ...harness.ContainerEdit) func(*runtimeapi.ContainerConfig) {
	return func(c *runtimeapi.ContainerConfig) {
		for _, edit := range all {
			edit(c)
		}
	}
}
