// Package spec builds the OCI runtime specification of a CRI container.
//
//	CRI request ─┐
//	image config ┼─▶ Build ─▶ *specs.Spec ─▶ (CDI, NRI) ─▶ containerd ─▶ shim ─▶ runc
//	pod, config ─┤
//	Host ────────┘
//
// Build is a pure function of its Input: it mounts nothing, calls nobody and
// changes nothing. What it must know of the machine is in Host, so that a
// test can say what machine it is; only what can change at any moment (device
// nodes, mount points, profiles) is read through Host.Machine, and only for
// requests that need it. The result is that of containerd's own CRI service,
// with the differences that the comments here name.
//
// A request that is wrong anywhere is errdefs.ErrInvalidArgument with the CRI
// field and its value; one that only this machine cannot fulfil is
// errdefs.ErrFailedPrecondition. There is no partial result.
package spec

import (
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/annotation"
	"github.com/trivet-cri/trivet/runtime/ocihooks"
	"github.com/trivet-cri/trivet/runtime/users"
)

// Input is all that a container's spec depends on. Build only reads it.
type Input struct {
	ID, PodID string
	Pod       *runtimeapi.PodSandboxConfig
	Config    *runtimeapi.ContainerConfig
	Image     ocispec.ImageConfig
	ImageName string // reference for annotations
	// ImageAnnotations are those of the image's manifest.
	ImageAnnotations map[string]string

	Handler     config.Handler
	HandlerName string // for messages
	Features    Features
	Runtime     config.Runtime
	Systemd     bool // cgroups are made through systemd

	Namespaces Namespaces
	Files      Files
	Volumes    []Volume // of the image; those that the request mounts over are left out
	User       users.Resolved
	SELinux    SELinux
	Base       *specs.Spec // spec that the handler's specs start from, nil for the built-in one
	Host       Host
	CDI        CDI             // nil if requests for CDI devices are refused
	Classes    Classes         // nil if annotations ask for none
	Hooks      *ocihooks.Hooks // of the node, nil for none
	// SeccompSocket is told of what the seccomp profile forbids; empty for nobody.
	SeccompSocket string
	// SeccompProfile is the content of the artifact that SeccompArtifact names.
	SeccompProfile []byte
}

// step adds one aspect to a spec. Steps run in order, on a spec whose
// Process, Root, Linux and the structs that they use below are not nil.
type step func(*Input, *specs.Spec) error

// Build makes the spec of a container. Its slices and maps are its own,
// except that the syscalls of the default seccomp profile are shared between
// specs and must not be changed in place.
func Build(in Input) (*specs.Spec, error) {
	s, err := start(in.Base, &in.Host)
	if err != nil {
		return nil, fmt.Errorf("copy base_runtime_spec of handler %q: %w", in.HandlerName, err)
	}
	steps := []step{
		setDefaults, checkPrivileged, setProcess, setUmask, setNamespaces, setMounts, setDevices, setCapabilities,
		setPaths, setSecurity, setResources, setUnified, setWorkload, setGoMaxProcs, setClasses, setCgroup, setAnnotations, setHooks, setCDI,
	}
	for _, apply := range steps {
		if err := apply(&in, s); err != nil {
			return nil, fmt.Errorf("spec of container %q: %w", in.Config.GetMetadata().GetName(), err)
		}
	}
	return s, nil
}

// security is the part of the request that most steps look at.
func (in *Input) security() *runtimeapi.LinuxContainerSecurityContext {
	return in.Config.GetLinux().GetSecurityContext()
}

// readonlyRoot tells whether the root is not to be written to.
func (in *Input) readonlyRoot() bool { return in.Runtime.ReadOnly || in.security().GetReadonlyRootfs() }

// allowed are the annotations that may change the container.
func (in *Input) allowed() annotation.Allowed {
	return in.Runtime.AllowedAnnotations(&in.Handler, in.Pod.GetAnnotations())
}

// podSecurity is the pod's counterpart of security.
func (in *Input) podSecurity() *runtimeapi.LinuxSandboxSecurityContext {
	return in.Pod.GetLinux().GetSecurityContext()
}
