package network

import (
	"fmt"
	"maps"
	"slices"

	"github.com/trivet-cri/trivet/internal/config"
)

// Sources lists the directories that cfg names: the node's default, then the
// runtime handlers' own, each once. Handlers that share a directory but not
// its cni_max_conf_num get the larger, which is worth a warning.
func Sources(cfg *config.Config) (sources []Source, warnings []string) {
	sources = []Source{{Dir: cfg.CNI.ConfDir, Limit: cfg.CNI.MaxConfNum}}
	for _, name := range slices.Sorted(maps.Keys(cfg.Runtime.Handlers)) {
		h := cfg.Runtime.Handlers[name]
		if h.CNIConfDir == "" {
			continue
		}
		i := slices.IndexFunc(sources, func(s Source) bool { return s.Group == h.CNIConfDir })
		if i < 0 {
			sources = append(sources, Source{Group: h.CNIConfDir, Dir: h.CNIConfDir, Limit: h.CNIMaxConfNum})
			continue
		}
		if limit := larger(sources[i].Limit, h.CNIMaxConfNum); sources[i].Limit != h.CNIMaxConfNum {
			sources[i].Limit = limit
			warnings = append(warnings, fmt.Sprintf("runtime.runtimes.%s.cni_max_conf_num is %d, but another handler with %s has another; using %d",
				name, h.CNIMaxConfNum, h.CNIConfDir, limit))
		}
	}
	return sources, warnings
}

// larger of two limits, of which 0 is none.
func larger(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}
