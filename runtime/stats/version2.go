package stats

import "path/filepath"

// version2 is the unified hierarchy.
type version2 struct{ root string }

func (v version2) Read(path string) (Usage, error) {
	dir, err := below(v.root, path)
	if err != nil {
		return Usage{}, err
	}
	r := &reading{}
	r.file(filepath.Join(dir, "cpu.stat"), func(text string) error {
		n, err := need(table(text), "usage_usec")
		if err == nil {
			r.CPU = &CPU{Total: n[0] * 1000, Pressure: r.pressure(filepath.Join(dir, "cpu.pressure"))}
		}
		return err
	})
	r.number(filepath.Join(dir, "pids.current"), func(n uint64) { r.Processes = &n })
	r.number(filepath.Join(dir, "memory.current"), func(n uint64) { r.Memory = &Memory{Usage: n} })
	if r.Memory != nil {
		v.memory(r, dir)
	}
	r.number(filepath.Join(dir, "memory.swap.current"), func(n uint64) {
		r.Swap = &Swap{Usage: n, Available: left(r.limit(filepath.Join(dir, "memory.swap.max")), n)}
	})
	r.IO = r.pressure(filepath.Join(dir, "io.pressure"))
	return r.end(path)
}

// memory fills what the memory controller tells beside the usage.
func (version2) memory(r *reading, dir string) {
	m := r.Memory
	r.file(filepath.Join(dir, "memory.stat"), func(text string) error {
		n, err := need(table(text), "inactive_file", "anon", "pgfault", "pgmajfault")
		if err != nil {
			r.Memory = nil
			return err
		}
		m.WorkingSet, m.RSS, m.Faults, m.Major = m.Usage-min(n[0], m.Usage), n[1], n[2], n[3]
		return nil
	})
	m.Available = left(r.limit(filepath.Join(dir, "memory.max")), m.WorkingSet)
	m.Pressure = r.pressure(filepath.Join(dir, "memory.pressure"))
}
