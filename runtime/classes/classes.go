// Package classes knows the RDT and block I/O classes that pods ask for by
// annotations, and NRI plugins by adjustments.
//
//	rdt_config_file ─────▶ resctrl groups of the kernel ◀─ OCI runtime, by class
//	blockio_config_file ─▶ throttles and weights of devices ─▶ OCI spec
//
// The classes are goresctrl's, as other CRI implementations have them, with the
// same files and annotations. A file that cannot be understood is an error of
// the start; a machine without RDT is not: containers that ask for a class are
// then refused, or run without one if the configuration says so.
//
// goresctrl keeps its state in the process, so that there is one Classes.
package classes

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/containerd/errdefs"
	"github.com/intel/goresctrl/pkg/blockio"
	"github.com/intel/goresctrl/pkg/kubernetes"
	"github.com/intel/goresctrl/pkg/rdt"
	"github.com/opencontainers/runtime-spec/specs-go"
	"sigs.k8s.io/yaml"

	"github.com/trivet-cri/trivet/internal/config"
)

// Classes answers for the classes of this machine. Its methods may be called
// concurrently.
type Classes struct {
	log                     *slog.Logger
	rdtOff, blockIOOff      error // why there are none; nil if there are
	ignoreRDT, ignoreBlocks bool
}

// Load reads the configured files, and makes the groups of RDT classes. As the
// files are meant to tell of all groups there are, others are removed. An
// error names key and file.
func Load(cfg config.Runtime, log *slog.Logger) (*Classes, error) {
	c := &Classes{log: log, ignoreRDT: cfg.IgnoreRDTNotEnabled, ignoreBlocks: cfg.IgnoreBlockIONotEnabled}
	rdt.SetLogger(log)
	blockio.SetLogger(log)
	var err error
	if c.rdtOff, err = loadRDT(cfg.RDTConfigFile); err != nil {
		return nil, fmt.Errorf("runtime.rdt_config_file %q: %w", cfg.RDTConfigFile, err)
	}
	if c.rdtOff != nil && cfg.RDTConfigFile != "" {
		log.Warn("there are no RDT classes", "error", c.rdtOff)
	}
	if c.blockIOOff, err = loadBlockIO(cfg.BlockIOConfigFile); err != nil {
		return nil, fmt.Errorf("runtime.blockio_config_file %q: %w", cfg.BlockIOConfigFile, err)
	}
	return c, nil
}

// loadRDT tells why there are no classes, if that is the machine's doing, and
// else what is wrong with the file.
func loadRDT(path string) (off, err error) {
	if path == "" {
		return fmt.Errorf("runtime.rdt_config_file is not set: %w", errdefs.ErrFailedPrecondition), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var classes rdt.Config
	if err := yaml.UnmarshalStrict(text, &classes); err != nil {
		return nil, err
	}
	if err := rdt.Initialize(""); err != nil {
		return fmt.Errorf("this machine has no RDT: %w: %w", err, errdefs.ErrFailedPrecondition), nil
	}
	return nil, rdt.SetConfig(&classes, true)
}

func loadBlockIO(path string) (off, err error) {
	if path == "" {
		return fmt.Errorf("runtime.blockio_config_file is not set: %w", errdefs.ErrFailedPrecondition), nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return nil, blockio.SetConfigFromData(text, false)
}

// RDT is the class of service of a container, as the OCI spec has it; empty
// for none. Errors, with annotation and class: InvalidArgument (there is no
// such class, or it is not for pods), FailedPrecondition (there are none).
func (c *Classes) RDT(container string, own, pods map[string]string) (string, error) {
	class, field := asked(rdt.RdtContainerAnnotation, rdt.RdtPodAnnotation, rdt.RdtPodAnnotationContainerPrefix, container, own, pods)
	return c.rdt(field, class, func() error {
		_, err := rdt.ContainerClassFromAnnotations(container, own, pods)
		return err
	})
}

// NamedRDT is RDT for a class that an NRI plugin names: it may also be one that
// is not for pods to ask for.
func (c *Classes) NamedRDT(class string) (string, error) {
	return c.rdt("RDT class", class, func() error {
		if _, ok := rdt.GetClass(class); !ok || !rdt.IsQualifiedClassName(class) {
			return errors.New("RDT class not found")
		}
		return nil
	})
}

// rdt resolves the class that field names, if check finds nothing against it.
func (c *Classes) rdt(field, class string, check func() error) (string, error) {
	if class == "" {
		return "", nil
	}
	if c.rdtOff != nil {
		return "", c.missing(field, class, c.rdtOff, c.ignoreRDT)
	}
	if err := check(); err != nil {
		return "", fmt.Errorf("%s %.200q: %w: %w", field, class, err, errdefs.ErrInvalidArgument)
	}
	if class == rdt.RootClassName {
		return "/", nil // so is it called in OCI specs
	}
	return class, nil
}

// BlockIO are the weights and throttles of a container; nil for none. Errors
// are as of RDT.
func (c *Classes) BlockIO(container string, own, pods map[string]string) (*specs.LinuxBlockIO, error) {
	class, field := asked(blockio.BlockioContainerAnnotation, blockio.BlockioPodAnnotation, blockio.BlockioPodAnnotationContainerPrefix, container, own, pods)
	return c.blocks(field, class)
}

// NamedBlockIO is BlockIO for a class that an NRI plugin names.
func (c *Classes) NamedBlockIO(class string) (*specs.LinuxBlockIO, error) {
	return c.blocks("block I/O class", class)
}

func (c *Classes) blocks(field, class string) (*specs.LinuxBlockIO, error) {
	if class == "" {
		return nil, nil
	}
	if c.blockIOOff != nil {
		return nil, c.missing(field, class, c.blockIOOff, c.ignoreBlocks)
	}
	settings, err := blockio.OciLinuxBlockIO(class)
	if err != nil {
		return nil, fmt.Errorf("%s %.200q: %w: %w", field, class, err, errdefs.ErrInvalidArgument)
	}
	return settings, nil
}

// missing is the answer where there are no classes at all.
func (c *Classes) missing(field, class string, why error, ignored bool) error {
	if !ignored {
		return fmt.Errorf("%s %.200q cannot be had: %w", field, class, why)
	}
	c.log.Debug("container runs without the class that it asks for", "field", field, "class", class, "reason", why)
	return nil
}

// asked is the class that the annotations ask for, and the one of them that
// does: the container's own, else the pod's for this container, else the pod's
// for all.
func asked(ownKey, podKey, prefix, container string, own, pods map[string]string) (class, field string) {
	class, origin := kubernetes.ContainerClassFromAnnotations(ownKey, podKey, prefix, container, own, pods)
	switch _, named := pods[prefix+container]; {
	case origin == kubernetes.ClassOriginContainerAnnotation:
		return class, fmt.Sprintf("annotations[%q]", ownKey)
	case named:
		return class, fmt.Sprintf("sandbox_config.annotations[%q]", prefix+container)
	}
	return class, fmt.Sprintf("sandbox_config.annotations[%q]", podKey)
}
