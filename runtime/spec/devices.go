package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// allAccess is to read, write and make device nodes.
const allAccess = "rwm"

// setDevices adds the requested devices, those that the pod asks for by an
// annotation and those that all containers have, and all of the host for
// privileged containers unless their handler says otherwise. The first at a
// path counts.
func setDevices(in *Input, s *specs.Spec) error {
	for i, d := range in.Config.GetDevices() {
		if err := addDevice(in, s, fmt.Sprintf("devices[%d]", i), d); err != nil {
			return err
		}
	}
	if err := addAnnotated(in, s); err != nil {
		return err
	}
	if err := addToAll(in, s); err != nil {
		return err
	}
	if !in.security().GetPrivileged() {
		return nil
	}
	anyDevice := []specs.LinuxDeviceCgroup{{Allow: true, Access: allAccess}}
	if in.Handler.PrivilegedWithoutHostDevices {
		if in.Handler.PrivilegedAllDevicesAllowed {
			s.Linux.Resources.Devices = anyDevice
		}
		return nil
	}
	nodes, _, err := in.Host.machine().Devices("/dev")
	if err != nil {
		return err
	}
	for _, node := range nodes {
		// A requested device may already be at this path.
		if !hasDevice(s, node.Path) {
			s.Linux.Devices = append(s.Linux.Devices, node)
		}
	}
	s.Linux.Resources.Devices = anyDevice
	return nil
}

// addDevice adds a device node, or the nodes of a directory at the same
// places below its container path, and allows their use.
func addDevice(in *Input, s *specs.Spec, field string, d *runtimeapi.Device) error {
	if d.GetPermissions() == "" || strings.Trim(d.GetPermissions(), allAccess) != "" {
		return invalid(field+".permissions", d.GetPermissions(), "is not made of r, w and m")
	}
	if !path.IsAbs(d.GetHostPath()) {
		return invalid(field+".host_path", d.GetHostPath(), "is not absolute")
	}
	target := d.GetContainerPath()
	if target == "" {
		target = d.GetHostPath()
	}
	if !path.IsAbs(target) {
		return invalid(field+".container_path", target, "is not absolute")
	}
	nodes, err := nodesAt(in, d.GetHostPath(), target)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, oci.ErrNotADevice) {
		return invalid(field+".host_path", d.GetHostPath(), "is no device: %v", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	for _, node := range nodes {
		own(in, &node)
		allow(s, node, d.GetPermissions())
	}
	return nil
}

// nodesAt are the nodes of the host at source, as they are at target.
func nodesAt(in *Input, source, target string) ([]specs.LinuxDevice, error) {
	nodes, resolved, err := in.Host.machine().Devices(source)
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		if nodes[i].Type == "p" {
			return nil, fmt.Errorf("a FIFO is %w", oci.ErrNotADevice)
		}
		nodes[i].Path = path.Join(target, strings.TrimPrefix(nodes[i].Path, resolved))
	}
	return nodes, nil
}

// allow adds a node and allows its use.
func allow(s *specs.Spec, node specs.LinuxDevice, access string) {
	s.Linux.Devices = append(s.Linux.Devices, node)
	s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
		Allow: true, Type: node.Type, Major: &node.Major, Minor: &node.Minor, Access: access,
	})
}

func hasDevice(s *specs.Spec, path string) bool {
	return slices.ContainsFunc(s.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == path })
}

// own gives a node to the user and group of the security context, where
// device_ownership_from_security_context asks for it. Root stays the host's
// owner.
func own(in *Input, node *specs.LinuxDevice) {
	if !in.Runtime.DeviceOwnership {
		return
	}
	if uid := uint32(in.security().GetRunAsUser().GetValue()); uid != 0 {
		node.UID = &uid
	}
	if gid := uint32(in.security().GetRunAsGroup().GetValue()); gid != 0 {
		node.GID = &gid
	}
}
