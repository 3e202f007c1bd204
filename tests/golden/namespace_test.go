//go:build e2e

package golden_test

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

func pidMode(mode runtimeapi.NamespaceMode) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.NamespaceOptions.Pid = mode })
}

var namespaceRequests = map[string]request{
	"shared PID":                 {pod: "shared-pid"},
	"own PID in shared":          {pod: "shared-pid", edit: pidMode(runtimeapi.NamespaceMode_CONTAINER)},
	"target PID":                 {targeted: true, edit: pidMode(runtimeapi.NamespaceMode_TARGET)},
	"target PID in shared":       {pod: "shared-pid", targeted: true, edit: pidMode(runtimeapi.NamespaceMode_TARGET)},
	"host network":               {pod: "host-network"},
	"host IPC":                   {pod: "host-ipc"},
	"host PID":                   {pod: "host-pid"},
	"all of the host":            {pod: "host-all"},
	"user namespace":             {pod: "user-namespace"},
	"user namespace, user":       {pod: "user-namespace", edit: edits(uid(1000), gid(2000))},
	"user namespace, shared PID": {pod: "user-namespace-shared-pid"},
	"user namespace, volumes":    {pod: "user-namespace", edit: harness.Image(declaring)},
	"user namespace, mount": {pod: "user-namespace", edit: mount("volume", "/mnt", func(m *runtimeapi.Mount) {
		m.UidMappings, m.GidMappings = idRange(0, 655360, 65536), idRange(0, 655360, 65536)
	})},
	"user namespace, read-only":    {pod: "user-namespace", edit: as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.ReadonlyRootfs = true })},
	"user namespace, capabilities": {pod: "user-namespace", edit: capabilities(list("SYS_ADMIN"), nil, nil)},
}
