package spec_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// managed is a configuration with two workloads, of which a pod can be.
func managed() config.Runtime {
	return config.Runtime{InfraCtrCPUSet: "0-1", Workloads: config.Workloads{
		"b": {ActivationAnnotation: "pod/managed", Resources: config.CPU{Shares: 7}},
		"a": {
			ActivationAnnotation: "pod/managed", AnnotationPrefix: "managed",
			Resources: config.CPU{Shares: 100, Set: "1", Period: 50_000},
		},
		"limited": {ActivationAnnotation: "pod/limited", Resources: config.CPU{Limit: 1500}},
	}}
}

func TestWorkload(t *testing.T) {
	t.Parallel()
	own := func(text string) map[string]string {
		return map[string]string{"pod/managed": "", "managed/server": text}
	}
	cpu := func(shares uint64, quota int64, period uint64, set string) *specs.LinuxCPU {
		c := &specs.LinuxCPU{Shares: &shares, Period: &period, Cpus: set}
		if quota != 0 {
			c.Quota = &quota
		}
		return c
	}
	asked := cpu(512, 200_000, 100_000, "0")
	for name, test := range map[string]struct {
		pod  map[string]string
		want *specs.LinuxCPU
	}{
		"none":              {map[string]string{"managed/server": `{"cpushares": 9}`}, asked},
		"defaults":          {map[string]string{"pod/managed": "x"}, cpu(100, 200_000, 50_000, "1")},
		"another container": {map[string]string{"pod/managed": "", "managed/client": `{"cpushares": 9}`}, cpu(100, 200_000, 50_000, "1")},
		"own":               {own(`{"cpushares": 9, "cpuset": "2-3"}`), cpu(9, 200_000, 50_000, "2-3")},
		"own quota":         {own(`{"cpuquota": -1, "more": true}`), cpu(100, -1, 50_000, "1")},
		"own limit":         {own(`{"cpulimit": 250, "cpuquota": 9999}`), cpu(100, 12_500, 50_000, "1")},
		"small limit":       {own(`{"cpulimit": 1}`), cpu(100, 1000, 50_000, "1")},
		"none for it":       {own(`null`), asked},
		"limit":             {map[string]string{"pod/limited": ""}, cpu(512, 150_000, 100_000, "0")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Runtime, in.Pod.Annotations = managed(), test.pod
			in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuShares: 512, CpuQuota: 200_000, CpuPeriod: 100_000, CpusetCpus: "0"}
			if got := build(t, in).Linux.Resources.CPU; !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %s, want %s", asJSON(t, got), asJSON(t, test.want))
			}
		})
	}
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWorkloadRefused(t *testing.T) {
	t.Parallel()
	for text, say := range map[string]string{
		`{`:                      `annotations[managed/server] "{" is not JSON such as {"cpushares": 512}: unexpected end`,
		`{"cpushares": "many"}`:  "is not JSON",
		`{"cpushares": -1}`:      "annotations[managed/server].cpushares -1 is negative",
		`{"cpuperiod": 10}`:      "annotations[managed/server].cpuperiod 10 is not between",
		`{"cpuset": "3-1"}`:      `annotations[managed/server].cpuset "3-1" has the range 3-1`,
		`{"cpulimit": 1e99}`:     "is not JSON",
		`{"cpuquota": 18446744}`: "",
	} {
		in := plain()
		in.Runtime, in.Pod.Annotations = managed(), map[string]string{"pod/managed": "", "managed/server": text}
		if say == "" {
			build(t, in)
			continue
		}
		refused(t, in, wrong, say)
	}
	in := plain()
	in.Host.CPUs = "0-3"
	in.Runtime, in.Pod.Annotations = managed(), map[string]string{"pod/managed": "", "managed/server": `{"cpuset": "9"}`}
	refused(t, in, lacks, `annotations[managed/server].cpuset "9" is not all there: this machine has 0-3`)
}

func TestShimCPUs(t *testing.T) {
	t.Parallel()
	for want, pod := range map[string]map[string]string{
		"0-1": {},
		"1":   {"pod/managed": ""},
		"3":   {"pod/managed": "", "managed/POD": `{"cpuset": "3"}`},
		"":    {"pod/managed": "", "managed/POD": `x`},
	} {
		got, err := spec.ShimCPUs(managed(), pod)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%v: got %q, %v", pod, got, err)
		}
	}
}

func TestPauseCPUs(t *testing.T) {
	t.Parallel()
	in := pause()
	in.Runtime, in.Host.CPUs = managed(), "0-3"
	s, err := spec.BuildPause(in)
	if err != nil || s.Linux.Resources.CPU.Cpus != "0-1" || *s.Linux.Resources.CPU.Shares != 2 {
		t.Errorf("got %+v, %v", s, err)
	}
	in.Runtime.InfraCtrCPUSet = "0-9"
	if _, err := spec.BuildPause(in); err == nil || !strings.Contains(err.Error(), `runtime.infra_ctr_cpuset "0-9" is not all there`) {
		t.Errorf("got %v", err)
	}
}

func TestGoMaxProcs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(*spec.Input)
		want string
	}{
		"request": {want: "4"},
		"off":     {edit: func(in *spec.Input) { in.Runtime.MinInjectedGoMaxProcs = 0 }},
		"floor":   {edit: func(in *spec.Input) { in.Runtime.MinInjectedGoMaxProcs = 6 }, want: "6"},
		"rounded": {edit: func(in *spec.Input) { in.Config.Linux.Resources.CpuShares = 1025 }, want: "3"},
		"little":  {edit: func(in *spec.Input) { in.Config.Linux.Resources.CpuShares = 2 }, want: "1"},
		"best effort": {edit: func(in *spec.Input) {
			in.Config.Linux.Resources, in.Pod.Linux.CgroupParent = nil, "/kubepods/besteffort/pod5e0ee7b4"
		}, want: "1"},
		"guaranteed": {edit: func(in *spec.Input) { in.Pod.Linux.CgroupParent = "/kubepods/pod5e0ee7b4" }},
		"limit":      {edit: func(in *spec.Input) { in.Config.Linux.Resources.CpuQuota = 1000 }},
		"no limit":   {edit: func(in *spec.Input) { in.Config.Linux.Resources.CpuQuota = -1 }, want: "4"},
		"image":      {edit: func(in *spec.Input) { in.Image.Env = []string{"GOMAXPROCS=9"} }, want: "9"},
		"container": {edit: func(in *spec.Input) {
			in.Config.Envs = []*runtimeapi.KeyValue{{Key: "GOMAXPROCS", Value: []byte("8")}}
		}, want: "8"},
		"default_env": {edit: func(in *spec.Input) { in.Runtime.DefaultEnv = []string{"GOMAXPROCS=7"} }, want: "7"},
		"skipped":     {edit: func(in *spec.Input) { in.Pod.Annotations = map[string]string{"skip-gomaxprocs.crio.io": "true"} }},
		"not skipped": {edit: func(in *spec.Input) { in.Pod.Annotations = map[string]string{"skip-gomaxprocs.crio.io": "no"} }, want: "4"},
		"workload": {edit: func(in *spec.Input) {
			in.Runtime.Workloads, in.Pod.Annotations = managed().Workloads, map[string]string{"pod/limited": ""}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Runtime.MinInjectedGoMaxProcs = 1
			in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuShares: 2048}
			if test.edit != nil {
				test.edit(&in)
			}
			env := build(t, in).Process.Env
			i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "GOMAXPROCS=") })
			got := ""
			if i >= 0 {
				got = strings.TrimPrefix(env[i], "GOMAXPROCS=")
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestMinMemory(t *testing.T) {
	t.Parallel()
	in := plain()
	in.Handler.ContainerMinMemory = 12 << 20
	for _, enough := range []int64{0, -1, 12 << 20} {
		in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: enough}
		s := build(t, in)
		change := spec.Change{Resources: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 12<<20 - 1}, Handler: in.Handler, Host: in.Host}
		if _, err := change.Apply(s); err == nil || !strings.Contains(err.Error(), "linux.resources.memory_limit_in_bytes 12582911 is below") {
			t.Errorf("update: %v", err)
		}
	}
	in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 12<<20 - 1}
	refused(t, in, wrong, "linux.resources.memory_limit_in_bytes 12582911 is below the handler's container_min_memory, 12MiB")
}

// FuzzWorkload: whatever a pod's annotation has, it is taken or refused.
func FuzzWorkload(f *testing.F) {
	for _, text := range []string{`{"cpushares": 9, "cpuset": "2-3"}`, `null`, `{"cpulimit": 9e9}`, `[]`, `{"cpuquota": -1}`, ``} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := plain()
		in.Host.CPUs = "0-3"
		in.Runtime, in.Pod.Annotations = managed(), map[string]string{"pod/managed": "", "managed/server": text}
		if _, err := spec.Build(in); err != nil && !errors.Is(err, wrong) && !errors.Is(err, lacks) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
