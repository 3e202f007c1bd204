package cri_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/image"
	"github.com/trivet-cri/trivet/runtime/stats"
)

// kernel is a fake of all that stats are read from.
type kernel struct {
	mu       sync.Mutex
	cgroups  map[string]stats.Usage
	broken   map[string]error
	networks map[string][]stats.Interface // by what the path contains
	layers   map[string]image.SnapshotUsage
	log      bytes.Buffer
}

func (k *kernel) Read(path string) (stats.Usage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	usage, ok := k.cgroups[path]
	if err := k.broken[path]; err != nil {
		return usage, err
	}
	if !ok {
		return usage, fmt.Errorf("cgroup %q: %w", path, errdefs.ErrNotFound)
	}
	return usage, nil
}

func (k *kernel) Interfaces(path string) ([]stats.Interface, error) {
	for part, found := range k.networks {
		if strings.Contains(path, part) {
			return found, nil
		}
	}
	return nil, fmt.Errorf("network namespace %s: %w", path, errdefs.ErrNotFound)
}

func (k *kernel) SnapshotUsage(_, key string) (image.SnapshotUsage, bool) {
	usage, ok := k.layers[key]
	return usage, ok
}

func (k *kernel) Mountpoint(snapshotter string) string { return "/containerd/" + snapshotter }

// stats are handlers that read the fake.
func (s *server) stats(k *kernel) *cri.Stats {
	return cri.NewStats(cri.StatsDeps{
		Pods: s.process.Pods, Containers: s.process.Containers, Cgroups: k, Networks: k, Layers: k,
		Log: slog.New(slog.NewTextHandler(&k.log, nil)),
	})
}

func newKernel() *kernel {
	return &kernel{
		cgroups: make(map[string]stats.Usage), broken: make(map[string]error),
		networks: make(map[string][]stats.Interface), layers: make(map[string]image.SnapshotUsage),
	}
}

// uses is a usage with figures that are all different.
func uses(n uint64) stats.Usage {
	available, processes := 5*n, 6*n
	return stats.Usage{
		Time:   time.Unix(1000, 0),
		CPU:    &stats.CPU{Total: n, Pressure: &stats.Pressure{Some: &stats.Stall{Avg10: 1, Avg60: 2, Avg300: 3, Total: 4}}},
		Memory: &stats.Memory{Usage: 2 * n, WorkingSet: 3 * n, RSS: 4 * n, Faults: 7 * n, Major: 8 * n, Available: &available},
		Swap:   &stats.Swap{Usage: 9 * n}, IO: &stats.Pressure{Full: &stats.Stall{Total: n}}, Processes: &processes,
	}
}
