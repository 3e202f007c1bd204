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

// setDevices adds the requested devices, and all of the host for privileged
// containers unless their handler says otherwise.
func setDevices(in *Input, s *specs.Spec) error {
	for i, d := range in.Config.GetDevices() {
		if err := addDevice(in, s, fmt.Sprintf("devices[%d]", i), d); err != nil {
			return err
		}
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
		if !slices.ContainsFunc(s.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == node.Path }) {
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
	nodes, resolved, err := in.Host.machine().Devices(d.GetHostPath())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, oci.ErrNotADevice) {
		return invalid(field+".host_path", d.GetHostPath(), "is no device: %v", err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	for _, node := range nodes {
		if node.Type == "p" {
			return invalid(field+".host_path", d.GetHostPath(), "is a FIFO, not a device")
		}
		node.Path = path.Join(target, strings.TrimPrefix(node.Path, resolved))
		own(in, &node)
		s.Linux.Devices = append(s.Linux.Devices, node)
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: node.Type, Major: &node.Major, Minor: &node.Minor, Access: d.GetPermissions(),
		})
	}
	return nil
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
