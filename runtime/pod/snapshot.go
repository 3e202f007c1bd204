package pod

import (
	"fmt"

	"github.com/containerd/containerd/v2/core/snapshots"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// SnapshotLabels tell the snapshotter to shift the owners in a container's
// file system into the pod's user namespace; none without one.
func (p *Pod) SnapshotLabels() map[string]string {
	o := p.Config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	if o.GetMode() != runtimeapi.NamespaceMode_POD || len(o.GetUids()) != 1 || len(o.GetGids()) != 1 {
		return nil
	}
	return map[string]string{
		snapshots.LabelSnapshotUIDMapping: idmap(o.GetUids()[0]),
		snapshots.LabelSnapshotGIDMapping: idmap(o.GetGids()[0]),
	}
}

func idmap(m *runtimeapi.IDMapping) string {
	return fmt.Sprintf("%d:%d:%d", m.GetContainerId(), m.GetHostId(), m.GetLength())
}
