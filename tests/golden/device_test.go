//go:build e2e

package golden_test

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

func device(source, target, permissions string) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		c.Devices = append(c.Devices, &runtimeapi.Device{HostPath: source, ContainerPath: target, Permissions: permissions})
	}
}

func cdiDevices(names ...string) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		for _, name := range names {
			c.CDIDevices = append(c.CDIDevices, &runtimeapi.CDIDevice{Name: name})
		}
	}
}

func annotated(pairs ...string) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		c.Annotations = make(map[string]string)
		for i := 0; i < len(pairs); i += 2 {
			c.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

const (
	vendorNull = "vendor.example/device=null"
	vendorZero = "vendor.example/device=zero"
)

var deviceRequests = map[string]request{
	"one":                    {edit: device("/dev/null", "/dev/nought", "rwm")},
	"same path":              {edit: device("/dev/zero", "/dev/zero", "r")},
	"no container path":      {edit: device("/dev/zero", "", "rw")},
	"several":                {edit: edits(device("/dev/null", "/dev/a", "r"), device("/dev/zero", "/dev/b", "w"), device("/dev/full", "/dev/c", "m"))},
	"directory":              {edit: device("/dev/net", "/dev/net", "rw")},
	"user":                   {edit: edits(uid(1000), gid(2000), device("/dev/null", "/dev/nought", "rw"))},
	"privileged":             {pod: "privileged", edit: edits(makePrivileged, device("/dev/zero", "/dev/nought", "r"))},
	"user namespace":         {pod: "user-namespace", edit: device("/dev/null", "/dev/nought", "rw")},
	"CDI":                    {edit: cdiDevices(vendorNull)},
	"CDI, two":               {edit: cdiDevices(vendorZero, vendorNull)},
	"CDI, twice":             {edit: cdiDevices(vendorNull, vendorNull)},
	"CDI, annotation":        {edit: annotated("cdi.k8s.io/vendor", vendorNull)},
	"CDI, both ways":         {edit: edits(cdiDevices(vendorNull), annotated("cdi.k8s.io/vendor", vendorNull+","+vendorZero))},
	"CDI and device":         {edit: edits(device("/dev/full", "/dev/full", "rw"), cdiDevices(vendorNull))},
	"CDI, privileged":        {pod: "privileged", edit: edits(makePrivileged, cdiDevices(vendorNull))},
	"CDI and the user's env": {edit: edits(variables("CDI", "mine"), cdiDevices(vendorNull))},
}
