package spec

import "github.com/opencontainers/runtime-spec/specs-go"

// Classes finds the RDT and block I/O classes that annotations of a container
// and its pod ask for; *classes.Classes does. Without one, both results are
// zero.
type Classes interface {
	RDT(container string, own, pods map[string]string) (closID string, err error)
	BlockIO(container string, own, pods map[string]string) (*specs.LinuxBlockIO, error)
}

func setClasses(in *Input, s *specs.Spec) error {
	if in.Classes == nil {
		return nil
	}
	name := in.Config.GetMetadata().GetName()
	closID, err := in.Classes.RDT(name, in.Config.GetAnnotations(), in.Pod.GetAnnotations())
	if err != nil {
		return err
	}
	if closID != "" {
		// What else a base spec says of RDT would be another class's.
		s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: closID}
	}
	blocks, err := in.Classes.BlockIO(name, in.Config.GetAnnotations(), in.Pod.GetAnnotations())
	if err != nil {
		return err
	}
	if blocks != nil {
		s.Linux.Resources.BlockIO = blocks
	}
	return nil
}
