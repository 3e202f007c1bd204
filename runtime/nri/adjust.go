package nri

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/runtime-tools/generate"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// adjust carries out in s what plugins want of a container.
func (p *Plugins) adjust(s *specs.Spec, adjustment *api.ContainerAdjustment) error {
	if adjustment == nil {
		return nil
	}
	edit := generate.SpecGenerator(newGenerator(s),
		generate.WithCDIDeviceInjector(p.injectCDI),
		generate.WithRdtResolver(p.rdt),
		generate.WithBlockIOResolver(p.Classes.NamedBlockIO),
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
	if adjustment.GetLinux().GetOomScoreAdj() != nil && s.Process.OOMScoreAdj != nil {
		s.Process.OOMScoreAdj = spec.OOMScoreAdj(*s.Process.OOMScoreAdj, &p.Runtime, &p.Host)
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

// rdt is the class as an OCI spec has it.
func (p *Plugins) rdt(class string) (*specs.LinuxIntelRdt, error) {
	closID, err := p.Classes.NamedRDT(class)
	if err != nil || closID == "" {
		return nil, err
	}
	return &specs.LinuxIntelRdt{ClosID: closID}, nil
}
