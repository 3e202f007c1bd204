//go:build e2e

package golden_test

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

func limits(r *runtimeapi.LinuxContainerResources) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { c.Linux.Resources = r }
}

var resourceRequests = map[string]request{
	"none":                  {edit: limits(&runtimeapi.LinuxContainerResources{})},
	"cpu":                   {edit: limits(&runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 20000, CpuShares: 204})},
	"cpu shares":            {edit: limits(&runtimeapi.LinuxContainerResources{CpuShares: 2})},
	"cpu quota, unlimited":  {edit: limits(&runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: -1})},
	"cpuset":                {edit: limits(&runtimeapi.LinuxContainerResources{CpusetCpus: "0-1", CpusetMems: "0"})},
	"memory":                {edit: limits(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20})},
	"memory and swap":       {edit: limits(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 96 << 20})},
	"swap, unlimited":       {edit: limits(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: -1})},
	"oom score":             {edit: limits(&runtimeapi.LinuxContainerResources{OomScoreAdj: 987})},
	"oom score, restricted": {edit: limits(&runtimeapi.LinuxContainerResources{OomScoreAdj: -997})},
	"hugepages": {edit: limits(&runtimeapi.LinuxContainerResources{HugepageLimits: []*runtimeapi.HugepageLimit{
		{PageSize: "2MB", Limit: 4 << 20}, {PageSize: "1GB", Limit: 0},
	}})},
	"everything": {edit: limits(&runtimeapi.LinuxContainerResources{
		CpuPeriod: 50000, CpuQuota: 10000, CpuShares: 100, CpusetCpus: "0", MemoryLimitInBytes: 32 << 20, OomScoreAdj: 100,
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 2 << 20}},
	})},
}

var handlerRequests = map[string]request{
	"annotations": {pod: "annotated", edit: annotated(
		"container.example/one", "1", "container.example/two", "", "pod.example/of-container", "no",
		"both.example/key", "of the container", "other.example/y", "no", "container.example/deep/er", "no",
	)},
	"annotations of pod only": {pod: "annotated"},
	"annotations, own ones":   {pod: "annotated", edit: annotated("io.kubernetes.cri.container-type", "sandbox", "container.example/x", "1")},
	"annotations, no globs":   {edit: annotated("container.example/one", "1")},
	"base spec":               {pod: "based"},
	"base spec, request":      {pod: "based", edit: edits(uid(33), variables("WHO", "request"), capabilities(list("NET_ADMIN"), list("KILL"), nil), seccomp(runtimeDefault, ""))},
	"base spec, image":        {pod: "based", edit: harness.Image(declaring)},
	"base spec, paths":        {pod: "based", edit: as(kubeletPaths)},
	"base spec, own mounts":   {pod: "based", edit: edits(mount("volume", "/opt/base"), mount("volume", "/run"))},
	"base spec, no new privs": {pod: "based", edit: as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.NoNewPrivs = false })},
	"base spec, limits":       {pod: "based", edit: limits(&runtimeapi.LinuxContainerResources{CpuShares: 10, OomScoreAdj: 5})},
}
