package nri

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/runtime-tools/generate"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// adjust carries out in s what plugins want of a container.
func (p *Plugins) adjust(s *specs.Spec, adjustment *api.ContainerAdjustment) error {
	if adjustment == nil {
		return nil
	}
	edit := generate.SpecGenerator(newGenerator(s),
		generate.WithCDIDeviceInjector(p.injectCDI),
		generate.WithRdtResolver(func(class string) (*specs.LinuxIntelRdt, error) {
			return &specs.LinuxIntelRdt{ClosID: class}, nil
		}),
		generate.WithBlockIOResolver(p.blockIO),
		generate.WithResourceChecker(func(r *specs.LinuxResources) error {
			if r != nil && p.Runtime.DisableHugetlbController {
				r.HugepageLimits = nil
			}
			return nil
		}),
	)
	if err := edit.Adjust(adjustment); err != nil {
		return fmt.Errorf("adjust OCI spec as NRI plugins ask: %w", err)
	}
	return nil
}

func (p *Plugins) injectCDI(s *specs.Spec, devices []string) error {
	if p.CDI == nil {
		return fmt.Errorf("CDI devices %q cannot be had: CDI is off: %w", devices, errdefs.ErrFailedPrecondition)
	}
	unknown, err := p.CDI.InjectDevices(s, devices...)
	if len(unknown) > 0 {
		return fmt.Errorf("CDI devices %s are described by no CDI file: %w", strings.Join(unknown, ", "), errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return fmt.Errorf("CDI devices %q: %w: %w", devices, err, errdefs.ErrFailedPrecondition)
	}
	return nil
}

func (p *Plugins) blockIO(class string) (*specs.LinuxBlockIO, error) {
	if p.BlockIO == nil {
		return nil, fmt.Errorf("block I/O class %.80q: no classes are configured: %w", class, errdefs.ErrFailedPrecondition)
	}
	return p.BlockIO(class)
}
