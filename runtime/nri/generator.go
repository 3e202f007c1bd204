package nri

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// generator edits a spec for NRI's own code, which decides what an adjustment
// means and asks for these edits one by one. The spec has all its parts.
type generator struct{ spec *specs.Spec }

// newGenerator fills in the parts of s that the edits look into.
func newGenerator(s *specs.Spec) *generator {
	if s.Process == nil {
		s.Process = &specs.Process{}
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	return &generator{s}
}

func (g *generator) Spec() *specs.Spec { return g.spec }

func (g *generator) AddAnnotation(key, value string) { put(&g.spec.Annotations, key, value) }
func (g *generator) RemoveAnnotation(key string)     { delete(g.spec.Annotations, key) }
func (g *generator) AddLinuxSysctl(key, value string) {
	put(&g.spec.Linux.Sysctl, key, value)
}
func (g *generator) RemoveLinuxSysctl(key string) { delete(g.spec.Linux.Sysctl, key) }

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
}

func (g *generator) SetProcessArgs(args []string)  { g.spec.Process.Args = args }
func (g *generator) SetProcessOOMScoreAdj(adj int) { g.spec.Process.OOMScoreAdj = &adj }
func (g *generator) ClearProcessEnv()              { g.spec.Process.Env = nil }

func (g *generator) AddProcessEnv(name, value string) {
	g.spec.Process.Env = replace(g.spec.Process.Env, name+"="+value, func(e string) bool { return strings.HasPrefix(e, name+"=") })
}

// replace puts one in the place of the element that is the same, or at the end.
func replace[T any](all []T, one T, same func(T) bool) []T {
	if i := slices.IndexFunc(all, same); i >= 0 {
		all[i] = one
		return all
	}
	return append(all, one)
}

func (g *generator) hooks() *specs.Hooks {
	if g.spec.Hooks == nil {
		g.spec.Hooks = &specs.Hooks{}
	}
	return g.spec.Hooks
}

func (g *generator) AddPreStartHook(hook specs.Hook) {
	hooks := g.hooks()
	//lint:ignore SA1019 deprecated, but what a plugin asks for is what it gets
	hooks.Prestart = append(hooks.Prestart, hook) //nolint:staticcheck // as above
}

func (g *generator) AddPostStartHook(hook specs.Hook) {
	g.hooks().Poststart = append(g.hooks().Poststart, hook)
}

func (g *generator) AddPostStopHook(hook specs.Hook) {
	g.hooks().Poststop = append(g.hooks().Poststop, hook)
}

func (g *generator) Mounts() []specs.Mount      { return g.spec.Mounts }
func (g *generator) ClearMounts()               { g.spec.Mounts = nil }
func (g *generator) AddMount(mount specs.Mount) { g.spec.Mounts = append(g.spec.Mounts, mount) }

func (g *generator) RemoveMount(destination string) {
	g.spec.Mounts = slices.DeleteFunc(g.spec.Mounts, func(m specs.Mount) bool { return m.Destination == destination })
}

func (g *generator) AddDevice(device specs.LinuxDevice) {
	g.spec.Linux.Devices = replace(g.spec.Linux.Devices, device, func(d specs.LinuxDevice) bool { return d.Path == device.Path })
}

func (g *generator) RemoveDevice(path string) {
	g.spec.Linux.Devices = slices.DeleteFunc(g.spec.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == path })
}

func (g *generator) SetLinuxCgroupsPath(path string) { g.spec.Linux.CgroupsPath = path }

func (g *generator) SetLinuxRootPropagation(propagation string) error {
	g.spec.Linux.RootfsPropagation = propagation
	return nil
}

// namespaceTypes are the OCI's by the names that plugins use; those that
// people use are taken as well.
var namespaceTypes = map[string]specs.LinuxNamespaceType{
	"net": specs.NetworkNamespace, "mnt": specs.MountNamespace,
}

func namespaceType(name string) (specs.LinuxNamespaceType, error) {
	if alias, ok := namespaceTypes[name]; ok {
		return alias, nil
	}
	switch t := specs.LinuxNamespaceType(name); t {
	case specs.PIDNamespace, specs.NetworkNamespace, specs.MountNamespace, specs.IPCNamespace,
		specs.UTSNamespace, specs.UserNamespace, specs.CgroupNamespace, specs.TimeNamespace:
		return t, nil
	}
	return "", fmt.Errorf("namespace %.80q is none that the kernel has: %w", name, errdefs.ErrInvalidArgument)
}

func (g *generator) AddOrReplaceLinuxNamespace(name, path string) error {
	kind, err := namespaceType(name)
	if err != nil {
		return err
	}
	g.spec.Linux.Namespaces = replace(g.spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path},
		func(n specs.LinuxNamespace) bool { return n.Type == kind })
	return nil
}

func (g *generator) RemoveLinuxNamespace(name string) error {
	kind, err := namespaceType(name)
	if err != nil {
		return err
	}
	g.spec.Linux.Namespaces = slices.DeleteFunc(g.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	return nil
}
