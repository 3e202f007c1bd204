package stats

import "path/filepath"

// version1 has a directory for each controller.
type version1 struct{ root string }

func (v version1) Read(path string) (Usage, error) {
	if _, err := below(v.root, path); err != nil {
		return Usage{}, err
	}
	r := &reading{}
	r.number(filepath.Join(v.root, "cpuacct", path, "cpuacct.usage"), func(n uint64) { r.CPU = &CPU{Total: n} })
	r.number(filepath.Join(v.root, "pids", path, "pids.current"), func(n uint64) { r.Processes = &n })
	memory := filepath.Join(v.root, "memory", path)
	r.number(filepath.Join(memory, "memory.usage_in_bytes"), func(n uint64) { r.Memory = &Memory{Usage: n} })
	if r.Memory != nil {
		v.memory(r, memory)
	}
	return r.end(path)
}

// memory fills what the memory controller tells beside the usage. The keys
// that begin with total_ include the cgroups below.
func (version1) memory(r *reading, dir string) {
	m := r.Memory
	var swapped *uint64
	r.file(filepath.Join(dir, "memory.stat"), func(text string) error {
		values := table(text)
		n, err := need(values, "total_inactive_file", "total_rss", "total_pgfault", "total_pgmajfault")
		if err != nil {
			r.Memory = nil
			return err
		}
		m.WorkingSet, m.RSS, m.Faults, m.Major = m.Usage-min(n[0], m.Usage), n[1], n[2], n[3]
		if n, ok := values["total_swap"]; ok {
			swapped = &n
		}
		return nil
	})
	limit := r.limit(filepath.Join(dir, "memory.limit_in_bytes"))
	m.Available = left(limit, m.WorkingSet)
	if swapped == nil {
		return
	}
	// What is limited is the sum of memory and swap.
	r.Swap = &Swap{Usage: *swapped}
	if sum := r.limit(filepath.Join(dir, "memory.memsw.limit_in_bytes")); sum != nil && limit != nil {
		own := *sum - min(*limit, *sum)
		r.Swap.Available = left(&own, *swapped)
	}
}
