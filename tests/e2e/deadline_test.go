//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/tests/harness"
)

// slowNetwork makes a group's network slow: ADD takes as long as the file
// "delay" in the returned directory says, in seconds, and does not begin while
// the file "block" is there.
func slowNetwork(t *testing.T) (dir string, edit func(*config.Config)) {
	t.Helper()
	dir = t.TempDir()
	plugin := fmt.Sprintf("#!/bin/sh\nif [ \"$CNI_COMMAND\" = ADD ]; then\n  sleep $(cat %[1]s/delay)\n  while [ -e %[1]s/block ]; do sleep 0.05; done\nfi\nexec %[2]s/bridge\n",
		dir, stage.Lab.CNIBinDir)
	ok(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	ok(t, os.MkdirAll(filepath.Join(dir, "net.d"), 0o755))
	ok(t, os.WriteFile(filepath.Join(dir, "bin", "slow"), []byte(plugin), 0o755))
	ok(t, os.WriteFile(filepath.Join(dir, "delay"), []byte("0"), 0o600))
	lists := need(filepath.Glob(filepath.Join(stage.Lab.CNIConfDir, "*.conflist")))(t)
	for _, list := range lists {
		var text bytes.Buffer
		ok(t, json.Compact(&text, need(os.ReadFile(list))(t)))
		slow := strings.Replace(text.String(), `"type":"bridge"`, `"type":"slow"`, 1)
		if slow == text.String() {
			t.Fatalf("%s has no bridge: %s", list, slow)
		}
		ok(t, os.WriteFile(filepath.Join(dir, "net.d", filepath.Base(list)), []byte(slow), 0o600))
	}
	return dir, func(c *config.Config) {
		c.CNI.ConfDir = filepath.Join(dir, "net.d")
		c.CNI.BinDirs = append([]string{filepath.Join(dir, "bin")}, c.CNI.BinDirs...)
	}
}

// TestImpatientClients starts 50 pods by clients whose deadline is shorter
// than the network's plugin takes and who ask again until they have their pod:
// each gets one, is told of nothing but its deadline before, and nothing but
// the 50 pods exists.
func TestImpatientClients(t *testing.T) {
	const pods, patience = 50, 300 * time.Millisecond
	dir, edit := slowNetwork(t)
	group := ownGroup(t, edit)
	ctx := limit(t, 2*time.Minute)
	ok(t, run1(ctx, group.CRI, "warm", ""))
	before := need(group.Residue(ctx))(t)
	ok(t, os.WriteFile(filepath.Join(dir, "delay"), []byte("0.5"), 0o600))

	var late atomic.Int64
	started := make([]*harness.Pod, pods)
	starts, startCtx := errgroup.WithContext(ctx)
	for i := range started {
		starts.Go(func() (err error) {
			started[i], err = insist(startCtx, group.CRI, fmt.Sprintf("impatient-%d", i), patience, &late)
			return err
		})
	}
	ok(t, starts.Wait())
	if late.Load() < pods {
		t.Errorf("only %d calls missed their deadline: the network is not slow", late.Load())
	}
	ids := make(map[string]bool)
	for _, pod := range started {
		ids[pod.ID] = true
	}
	list := need(group.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{}))(t)
	if len(ids) != pods || len(list.GetItems()) != pods {
		t.Errorf("%d pods were returned and %d exist", len(ids), len(list.GetItems()))
	}
	kinds := make(map[string]int)
	for _, thing := range need(group.Residue(ctx))(t).Since(before) {
		kind, _, _ := strings.Cut(thing, " ")
		kinds[kind]++
	}
	for _, kind := range []string{"sandbox", "address", "interface"} {
		if kinds[kind] != pods {
			t.Errorf("%d things of the kind %s exist for %d pods", kinds[kind], kind, pods)
		}
	}
	t.Logf("%d calls missed their deadline", late.Load())

	var removals errgroup.Group
	for _, pod := range started {
		removals.Go(func() error { return removePod(ctx, pod) })
	}
	ok(t, removals.Wait())
	ok(t, group.AwaitNoResidue(ctx, before))
}

// insist runs a pod as a kubelet without patience does: the same request again
// and again. Any error but the deadline's ends it.
func insist(ctx context.Context, cri *harness.CRI, name string, patience time.Duration, late *atomic.Int64) (*harness.Pod, error) {
	cfg, err := cri.PodConfig(name)
	if err != nil {
		return nil, err
	}
	for {
		call, cancel := context.WithTimeout(ctx, patience)
		pod, err := cri.RunPodConfig(call, cfg, "")
		cancel()
		var coded interface{ GRPCStatus() *status.Status }
		switch {
		case err == nil:
			return pod, nil
		case ctx.Err() != nil || !errors.As(err, &coded) || coded.GRPCStatus().Code() != codes.DeadlineExceeded:
			return nil, err
		}
		late.Add(1)
	}
}

// TestHungPluginIsVisible: what a pod's start waits for, and since when, is in
// the verbose status, and gone from there with the start's end.
func TestHungPluginIsVisible(t *testing.T) {
	dir, edit := slowNetwork(t)
	group := ownGroup(t, edit)
	block := filepath.Join(dir, "block")
	ok(t, os.WriteFile(block, nil, 0o600))
	ctx := limit(t, time.Minute)
	cfg := need(group.PodConfig("hung"))(t)

	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := group.RunPodConfig(short, cfg, "")
	says(t, err, "DeadlineExceeded")

	hung := need(underWay(ctx, group))(t)
	if len(hung) != 1 || !strings.Contains(hung[0].What, "harness/hung") || hung[0].Stage != "network" || hung[0].Age < 100*time.Millisecond {
		t.Errorf("operations are %+v", hung)
	}
	// Lists answer meanwhile, and a second client waits for the same start.
	need(group.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{}))(t)
	var joined *harness.Pod
	joiner, stop := errgroup.WithContext(ctx)
	joiner.Go(func() (err error) {
		joined, err = group.RunPodConfig(stop, cfg, "")
		return err
	})
	ok(t, harness.Wait(ctx, "the operation to grow older", func(ctx context.Context) error {
		now, err := underWay(ctx, group)
		if err == nil && (len(now) != 1 || now[0].Age <= hung[0].Age) {
			err = fmt.Errorf("operations are %+v", now)
		}
		return err
	}))
	ok(t, os.Remove(block))
	ok(t, joiner.Wait())
	if left := need(underWay(ctx, group))(t); len(left) != 0 {
		t.Errorf("operations that have ended: %+v", left)
	}
	ok(t, removePod(ctx, joined))
}

// shownOperation is an operation as the verbose status has it.
type shownOperation struct {
	What, Stage string
	Age         time.Duration
}

func underWay(ctx context.Context, group *harness.Group) ([]shownOperation, error) {
	reply, err := group.RuntimeServiceClient.Status(ctx, &runtimeapi.StatusRequest{Verbose: true})
	if err != nil {
		return nil, err
	}
	var list []shownOperation
	return list, json.Unmarshal([]byte(reply.GetInfo()["operations"]), &list)
}
