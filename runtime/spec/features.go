package spec

import (
	"fmt"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"
)

// Features are what a runtime handler can do on this machine: its OCI runtime
// and the kernel together. The zero value can nothing. OCI runtimes ignore what
// they do not know, so a request for a missing feature must be refused here:
// it would silently be granted less than it asks for.
type Features struct {
	RecursiveReadOnly bool // read-only bind mounts whose submounts are read-only too
	UserNamespaces    bool // with owners of mounts shifted into them
	IDMappedMounts    bool // bind mounts with mappings of their own
}

// NeedsFeatures tells whether a container's spec depends on Features at all.
func NeedsFeatures(cfg *runtimeapi.ContainerConfig) bool {
	if UsesUserNamespace(cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()) {
		return true
	}
	for _, m := range cfg.GetMounts() {
		if m.GetRecursiveReadOnly() || len(m.GetUidMappings()) > 0 || len(m.GetGidMappings()) > 0 {
			return true
		}
	}
	return false
}

// UsesUserNamespace tells whether the options ask for a user namespace.
func UsesUserNamespace(o *runtimeapi.NamespaceOption) bool {
	u := o.GetUsernsOptions()
	return u != nil && u.GetMode() == runtimeapi.NamespaceMode_POD
}

// CheckUserNamespace returns ErrFailedPrecondition if the options ask for a
// user namespace that the handler cannot make.
func (f Features) CheckUserNamespace(handlerName string, o *runtimeapi.NamespaceOption) error {
	if f.UserNamespaces || !UsesUserNamespace(o) {
		return nil
	}
	return unable(usernsField+".mode", o.GetUsernsOptions().GetMode(), "cannot be had: runtime handler %q does not support user namespaces with idmapped mounts", handlerName)
}

// needRecursiveReadOnly is the kubelet's own error, which it knows by its text.
func (in *Input) needRecursiveReadOnly(field string) error {
	switch {
	case !in.Host.RecursiveReadOnly:
		return fmt.Errorf("%s true: %w: this kernel has no recursive read-only mounts: %w",
			field, crierrors.ErrRROUnsupported, errdefs.ErrFailedPrecondition)
	case !in.Features.RecursiveReadOnly:
		return fmt.Errorf("%s true: %w: runtime handler %q does not support recursive read-only mounts: %w",
			field, crierrors.ErrRROUnsupported, in.HandlerName, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// needIDMappedMounts refuses mappings that the handler would ignore.
func (in *Input) needIDMappedMounts(field string, m *runtimeapi.Mount) error {
	if in.Features.IDMappedMounts || len(m.GetUidMappings()) == 0 && len(m.GetGidMappings()) == 0 {
		return nil
	}
	return unable(field+".uidMappings", m.GetUidMappings(), "cannot be had: runtime handler %q does not support idmapped mounts", in.HandlerName)
}
