//go:build e2e

package golden_test

import (
	"path/filepath"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// mount adds a bind mount of a file of the machine, or of an absolute path.
func mount(source, target string, changes ...func(*runtimeapi.Mount)) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		m := &runtimeapi.Mount{HostPath: source, ContainerPath: target}
		if !filepath.IsAbs(source) {
			m.HostPath = host.path(source)
		}
		for _, change := range changes {
			change(m)
		}
		c.Mounts = append(c.Mounts, m)
	}
}

func readonly(m *runtimeapi.Mount)  { m.Readonly = true }
func recursive(m *runtimeapi.Mount) { m.RecursiveReadOnly = true }
func toHost(m *runtimeapi.Mount) {
	m.Propagation = runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
}

func fromHost(m *runtimeapi.Mount) {
	m.Propagation = runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
}

var mountRequests = map[string]request{
	"writable":                   {edit: mount("volume", "/mnt/a")},
	"read-only":                  {edit: mount("volume", "/mnt/a", readonly)},
	"recursively read-only":      {edit: mount("volume", "/mnt/a", readonly, recursive)},
	"file":                       {edit: mount("file", "/mnt/file")},
	"through link":               {edit: mount("link/sub", "/mnt/a")},
	"source is made":             {edit: mount("made/for/it", "/mnt/a")},
	"from host, shared":          {edit: mount("shared", "/mnt/a", fromHost)},
	"from host, slave":           {edit: mount("slave", "/mnt/a", fromHost)},
	"to host":                    {edit: mount("shared", "/mnt/a", toHost)},
	"to host and from host":      {edit: edits(mount("shared", "/mnt/a", toHost), mount("slave", "/mnt/b", fromHost))},
	"nested, inner first":        {edit: edits(mount("volume", "/mnt/a/b/c"), mount("other", "/mnt/a"))},
	"same depth, in order":       {edit: edits(mount("volume", "/mnt/z"), mount("other", "/mnt/a"))},
	"over hosts":                 {edit: mount("file", "/etc/hosts")},
	"over resolv.conf":           {edit: mount("file", "/etc/resolv.conf", readonly)},
	"over hostname":              {edit: mount("file", "/etc/hostname")},
	"over shm":                   {edit: mount("volume", "/dev/shm")},
	"over shm, written oddly":    {edit: mount("volume", "/dev//shm/")},
	"over dev":                   {edit: mount("/dev", "/dev")},
	"over sys":                   {edit: mount("/sys", "/sys", readonly)},
	"over cgroup":                {edit: mount("/sys/fs/cgroup", "/sys/fs/cgroup")},
	"over proc":                  {edit: mount("/proc", "/proc")},
	"over run":                   {edit: mount("volume", "/run")},
	"twice the same place":       {edit: edits(mount("volume", "/mnt/a"), mount("other", "/mnt/a"))},
	"volumes of image":           {edit: harness.Image(declaring)},
	"over volume of image":       {edit: edits(harness.Image(declaring), mount("volume", "/data"))},
	"below volume of image":      {edit: edits(harness.Image(declaring), mount("volume", "/data/inner"))},
	"read-only root, own files":  {edit: edits(mount("volume", "/mnt/a"), as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.ReadonlyRootfs = true }))},
	"relabelled without selinux": {edit: mount("volume", "/mnt/a", func(m *runtimeapi.Mount) { m.SelinuxRelabel = true })},
	"privileged":                 {pod: "privileged", edit: edits(makePrivileged, mount("volume", "/mnt/a"), mount("shared", "/mnt/b", toHost))},
}
