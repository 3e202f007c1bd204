package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// inherit gives handlers with inherit_default_runtime what they leave out of
// the default one.
func (r *Runtime) inherit() (problems []problem) {
	base, ok := r.Handlers[r.DefaultHandler]
	if !ok {
		return nil // validate says so
	}
	for _, name := range slices.Sorted(maps.Keys(r.Handlers)) {
		h := r.Handlers[name]
		if !h.InheritDefaultRuntime {
			continue
		}
		if h.Type != "" && h.Type != base.Type {
			problems = append(problems, problem{
				"runtime.runtimes." + name + ".inherit_default_runtime",
				fmt.Sprintf("runtime_type %q is not that of the default handler, %q", h.Type, base.Type),
			})
			continue
		}
		h.Type = base.Type
		if h.Path == "" {
			h.Path = base.Path
		}
		own, other := reflect.ValueOf(&h.Options).Elem(), reflect.ValueOf(base.Options)
		for i := range own.NumField() {
			if own.Field(i).IsZero() {
				own.Field(i).Set(other.Field(i))
			}
		}
		r.Handlers[name] = h
	}
	return problems
}
