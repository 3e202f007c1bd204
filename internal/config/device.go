package config

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Device is a device of the host as it is written in one word.
type Device struct {
	Source string // path on the host
	Target string // path in containers, below /dev
	Access string // made of r, w and m
}

// ParseDevice reads source[:target][:access]. Without a target it is the
// source, without an access it is rwm.
func ParseDevice(text string) (Device, error) {
	parts := strings.Split(text, ":")
	d := Device{Source: parts[0], Target: parts[0], Access: "rwm"}
	switch {
	case len(parts) > 3:
		return Device{}, fmt.Errorf("%.200q is not source:target:access", text)
	case len(parts) == 3:
		d.Access = parts[2]
	case len(parts) == 2 && isAccess(parts[1]):
		d.Access, parts[1] = parts[1], ""
	}
	if len(parts) > 1 && parts[1] != "" {
		d.Target = parts[1]
	}
	switch {
	case !path.IsAbs(d.Source) || strings.ContainsRune(d.Source, 0):
		return Device{}, fmt.Errorf("%.200q: source %.200q is not an absolute path", text, d.Source)
	case !isAccess(d.Access):
		return Device{}, fmt.Errorf("%.200q: access %.200q is not made of r, w and m", text, d.Access)
	case !strings.HasPrefix(path.Clean(d.Target), "/dev/") || strings.ContainsRune(d.Target, 0):
		return Device{}, fmt.Errorf("%.200q: target %.200q is not below /dev", text, d.Target)
	}
	return d, nil
}

// isAccess: some of r, w and m, each once.
func isAccess(text string) bool {
	letters := strings.Split(text, "")
	slices.Sort(letters)
	return text != "" && strings.Trim(text, "rwm") == "" && len(slices.Compact(letters)) == len(text)
}

// Devices are additional_devices, of which Load has seen that they can be read.
func (r *Runtime) Devices() []Device {
	var all []Device
	for _, text := range r.AdditionalDevices {
		if d, err := ParseDevice(text); err == nil {
			all = append(all, d)
		}
	}
	return all
}

func (r *Runtime) validateDevices(check *checker) {
	for _, path := range r.AllowedDevices {
		check.absolute("runtime.allowed_devices", path)
	}
	seen := make(map[string]bool)
	for _, text := range r.AdditionalDevices {
		d, err := ParseDevice(text)
		switch target := path.Clean(d.Target); {
		case err != nil:
			check.add("runtime.additional_devices", "%v", err)
		case seen[target]:
			check.add("runtime.additional_devices", "%q: %s is there twice", text, target)
		default:
			seen[target] = true
		}
	}
}
