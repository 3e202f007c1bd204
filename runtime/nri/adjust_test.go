package nri_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
)

// cdi knows one device.
type cdi struct{}

func (cdi) InjectDevices(s *specs.Spec, names ...string) ([]string, error) {
	if !slices.Equal(names, []string{"vendor.test/gpu=one"}) {
		return names, errors.New("unresolvable")
	}
	s.Process.Env = append(s.Process.Env, "GPU=one")
	return nil, nil
}

// named knows the RDT classes gold and root, and one of block I/O.
type named struct{}

func (named) NamedRDT(class string) (string, error) {
	if id, ok := map[string]string{"gold": "gold", "root": "/", "ignored": ""}[class]; ok {
		return id, nil
	}
	return "", errors.New("no such RDT class")
}

func (named) NamedBlockIO(class string) (*specs.LinuxBlockIO, error) {
	if class != "slow" {
		return nil, errors.New("no such block I/O class")
	}
	weight := uint16(80)
	return &specs.LinuxBlockIO{Weight: &weight}, nil
}

// everything adjusts all that can be.
func everything() *api.ContainerAdjustment {
	a := &api.ContainerAdjustment{}
	a.AddAnnotation("example.test/who", "me")
	a.AddEnv("WHO", "plugin")
	a.SetArgs([]string{"/bin/other", "-v"})
	a.AddMount(&api.Mount{Destination: "/etc/extra", Type: "bind", Source: "/etc", Options: []string{"rbind", "ro"}})
	a.AddHooks(&api.Hooks{
		Prestart: []*api.Hook{{Path: "/bin/prestart"}}, CreateRuntime: []*api.Hook{{Path: "/bin/createruntime"}},
		CreateContainer: []*api.Hook{{Path: "/bin/createcontainer"}}, StartContainer: []*api.Hook{{Path: "/bin/startcontainer"}},
		Poststart: []*api.Hook{{Path: "/bin/poststart"}}, Poststop: []*api.Hook{{Path: "/bin/poststop"}},
	})
	a.AddRlimit("RLIMIT_NOFILE", 456, 123)
	a.AddDevice(&api.LinuxDevice{Path: "/dev/extra", Type: "c", Major: 1, Minor: 3})
	a.AddCDIDevice(&api.CDIDevice{Name: "vendor.test/gpu=one"})
	a.RemoveNamespace(&api.LinuxNamespace{Type: "ipc"})
	a.AddOrReplaceNamespace(&api.LinuxNamespace{Type: "network", Path: "/proc/1/ns/net"})
	a.SetLinuxMemoryLimit(9 << 20)
	a.SetLinuxCPUShares(99)
	a.SetLinuxCPUQuota(5000)
	a.SetLinuxCPUPeriod(10000)
	a.SetLinuxCPURealtimePeriod(7)
	a.SetLinuxCPURealtimeRuntime(6)
	a.SetLinuxCPUSetCPUs("0")
	a.SetLinuxCPUSetMems("0")
	a.SetLinuxPidLimits(77)
	a.AddLinuxHugepageLimit("2MB", 4<<20)
	a.AddLinuxUnified("memory.high", "1000000")
	a.SetLinuxRDTClass("gold")
	a.SetLinuxBlockIOClass("slow")
	a.SetLinuxCgroupsPath("/elsewhere/c")
	score := 55
	a.SetLinuxOomScoreAdj(&score)
	a.SetLinuxSysctl("net.core.somaxconn", "77")
	a.SetLinuxSeccompPolicy(&api.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW"})
	return a
}

func TestAdjust(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.connect(t, "10", "adjuster", func(p *plugin) {
		p.adjust = func(*api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate) { return everything(), nil }
	})
	c := n.create(t, n.run(t, "web"), "server")
	s, err := n.Containers.ContainerSpec(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Linux.Resources
	namespaces := make(map[specs.LinuxNamespaceType]string)
	for _, ns := range s.Linux.Namespaces {
		namespaces[ns.Type] = ns.Path
	}
	_, ipc := namespaces[specs.IPCNamespace]
	extra := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/etc/extra" && m.Source == "/etc" })
	device := slices.IndexFunc(s.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == "/dev/extra" })
	//lint:ignore SA1019 a plugin may ask for deprecated hooks
	prestart := s.Hooks.Prestart //nolint:staticcheck // as above
	for what, holds := range map[string]bool{
		"annotation":     s.Annotations["example.test/who"] == "me",
		"environment":    slices.Contains(s.Process.Env, "WHO=plugin"),
		"arguments":      slices.Equal(s.Process.Args, []string{"/bin/other", "-v"}),
		"mount":          extra >= 0,
		"hooks":          len(prestart) == 1 && len(s.Hooks.CreateRuntime) == 1 && len(s.Hooks.CreateContainer) == 1,
		"later hooks":    len(s.Hooks.StartContainer) == 1 && len(s.Hooks.Poststart) == 1 && len(s.Hooks.Poststop) == 1,
		"rlimit":         slices.Contains(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Hard: 456, Soft: 123}),
		"device":         device >= 0,
		"CDI device":     slices.Contains(s.Process.Env, "GPU=one"),
		"namespaces":     !ipc && namespaces[specs.NetworkNamespace] == "/proc/1/ns/net",
		"memory":         *r.Memory.Limit == 9<<20 && c.Resources().GetMemoryLimitInBytes() == 9<<20,
		"processors":     *r.CPU.Shares == 99 && *r.CPU.Quota == 5000 && *r.CPU.Period == 10000 && r.CPU.Cpus == "0" && r.CPU.Mems == "0",
		"realtime":       *r.CPU.RealtimePeriod == 7 && *r.CPU.RealtimeRuntime == 6,
		"pids":           reflect.ValueOf(r.Pids).Elem().FieldByName("Limit").Elem().Int() == 77,
		"huge pages":     slices.Contains(r.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: "2MB", Limit: 4 << 20}),
		"unified":        r.Unified["memory.high"] == "1000000",
		"RDT":            s.Linux.IntelRdt != nil && s.Linux.IntelRdt.ClosID == "gold",
		"block I/O":      r.BlockIO != nil && *r.BlockIO.Weight == 80,
		"cgroup":         s.Linux.CgroupsPath == "/elsewhere/c",
		"OOM score":      *s.Process.OOMScoreAdj == 55,
		"sysctl":         s.Linux.Sysctl["net.core.somaxconn"] == "77",
		"seccomp policy": s.Linux.Seccomp != nil && s.Linux.Seccomp.DefaultAction == "SCMP_ACT_ALLOW",
	} {
		if !holds {
			t.Errorf("%s is not adjusted: %+v", what, s)
		}
	}
}

// TestBadAdjustment: what cannot be done refuses the container, and leaves
// nothing.
func TestBadAdjustment(t *testing.T) {
	t.Parallel()
	for say, edit := range map[string]func(*api.ContainerAdjustment){
		"described by no CDI file": func(a *api.ContainerAdjustment) { a.AddCDIDevice(&api.CDIDevice{Name: "vendor.test/gpu=two"}) },
		"no such block I/O class":  func(a *api.ContainerAdjustment) { a.SetLinuxBlockIOClass("fast") },
		"no such RDT class":        func(a *api.ContainerAdjustment) { a.SetLinuxRDTClass("silver") },
		"none that the kernel has": func(a *api.ContainerAdjustment) {
			a.AddOrReplaceNamespace(&api.LinuxNamespace{Type: "astral", Path: "/x"})
		},
	} {
		t.Run(say, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			plugin := n.connect(t, "10", "adjuster", func(p *plugin) {
				p.adjust = func(*api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate) {
					a := &api.ContainerAdjustment{}
					edit(a)
					return a, nil
				}
			})
			p := n.run(t, "web")
			before := n.Leftovers()
			if _, err := n.containers.Create(t.Context(), p, containertest.Config("server")); err == nil || !strings.Contains(err.Error(), say) {
				t.Errorf("got %v", err)
			}
			if left := n.Leftovers(); !slices.Equal(left, before) {
				t.Errorf("left over: %v", left)
			}
			await(t, "the plugin to hear of the removal", func() bool {
				story := plugin.story()
				return len(story) > 0 && story[len(story)-1] == "remove server"
			})
		})
	}
}

// TestValidate: a validator sees what others want, and may refuse it.
func TestValidate(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.connect(t, "10", "adjuster", func(p *plugin) {
		p.adjust = func(*api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate) {
			a := &api.ContainerAdjustment{}
			a.AddEnv("WHO", "plugin")
			return a, nil
		}
	})
	n.connect(t, "20", "validator", func(p *plugin) {
		p.mask = 0
		p.mask.Set(api.Event_VALIDATE_CONTAINER_ADJUSTMENT)
		p.validate = func(r *api.ValidateContainerAdjustmentRequest) error {
			if r.GetContainer().GetName() == "bad" && len(r.GetAdjust().GetEnv()) == 1 {
				return errors.New("no such environment")
			}
			return nil
		}
	})
	p := n.run(t, "web")
	n.create(t, p, "good")
	_, err := n.containers.Create(t.Context(), p, containertest.Config("bad"))
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "no such environment") {
		t.Errorf("got %v", err)
	}
}

// TestClassesAndScores: classes are named as OCI specs do, a plugin may take a
// class away, and it lowers an OOM score no further than the configuration lets
// the kubelet.
func TestClassesAndScores(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		class    string
		score    int
		restrict bool
		closID   string // empty for no RDT
		want     int
	}{
		"root class, free score":   {class: "root", score: -900, closID: "/", want: -900},
		"ignored, restricted":      {class: "ignored", score: -900, restrict: true, want: -7},
		"no class, higher score":   {score: 800, restrict: true, want: 800},
		"named, restricted as own": {class: "gold", score: -7, restrict: true, closID: "gold", want: -7},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.end()
			n.runtime.RestrictOOMScoreAdj = test.restrict
			n.begin(t)
			n.connect(t, "10", "adjuster", func(p *plugin) {
				p.adjust = func(*api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate) {
					a := &api.ContainerAdjustment{}
					a.SetLinuxRDTClass(test.class)
					a.SetLinuxOomScoreAdj(&test.score)
					return a, nil
				}
			})
			c := n.create(t, n.run(t, "web"), "server")
			s, err := n.Containers.ContainerSpec(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			closID := ""
			if s.Linux.IntelRdt != nil {
				closID = s.Linux.IntelRdt.ClosID
			}
			if closID != test.closID || *s.Process.OOMScoreAdj != test.want {
				t.Errorf("class %q, score %d", closID, *s.Process.OOMScoreAdj)
			}
		})
	}
}
