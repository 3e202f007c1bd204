package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/annotation"
)

// addAnnotated adds the devices that the pod's annotation names, if the
// handler lets it and each of them is among allowed_devices.
func addAnnotated(in *Input, s *specs.Spec) error {
	key, list, _ := in.allowed().Find(in.Pod.GetAnnotations(), annotation.Devices)
	field := fmt.Sprintf("annotations[%q]", key)
	for text := range strings.SplitSeq(list, ",") {
		if text == "" {
			continue
		}
		d, err := config.ParseDevice(text)
		if err != nil {
			return invalid(field, text, "names no device: %v", err)
		}
		if !slices.Contains(in.Runtime.AllowedDevices, d.Source) {
			return invalid(field, text, "asks for a device that is not in runtime.allowed_devices")
		}
		if err := addHostDevice(in, s, d); err != nil {
			return unable(field, text, "cannot be had: %v", err)
		}
	}
	return nil
}

// addToAll adds additional_devices.
func addToAll(in *Input, s *specs.Spec) error {
	for _, d := range in.Runtime.Devices() {
		if err := addHostDevice(in, s, d); err != nil {
			return unable("runtime.additional_devices", d.Source, "cannot be had: %v", err)
		}
	}
	return nil
}

// addHostDevice adds a device, or those of a directory, where none is yet.
// They keep their owners: that they go to the container's user is for what a
// request itself asks for.
func addHostDevice(in *Input, s *specs.Spec, d config.Device) error {
	nodes, err := nodesAt(in, d.Source, d.Target)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if !hasDevice(s, node.Path) {
			allow(s, node, d.Access)
		}
	}
	return nil
}
