package spec

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/internal/config"
)

// Annotations that hooks and VM runtimes expect of a CRI implementation.
const (
	criPrefix           = "io.kubernetes.cri."
	annContainerType    = criPrefix + "container-type"
	annContainerName    = criPrefix + "container-name"
	annImageName        = criPrefix + "image-name"
	annSandboxID        = criPrefix + "sandbox-id"
	annSandboxName      = criPrefix + "sandbox-name"
	annSandboxNamespace = criPrefix + "sandbox-namespace"
	annSandboxUID       = criPrefix + "sandbox-uid"
	annSandboxLogDir    = criPrefix + "sandbox-log-directory"
	annSandboxImage     = criPrefix + "podsandbox.image-name"
	annSandboxCPUPeriod = criPrefix + "sandbox-cpu-period"
	annSandboxCPUQuota  = criPrefix + "sandbox-cpu-quota"
	annSandboxCPUShares = criPrefix + "sandbox-cpu-shares"
	annSandboxMemory    = criPrefix + "sandbox-memory"
)

// SandboxIDAnnotation has the pod's id where the usual name would make runc's
// shim put all containers of a pod into one process. One shim a container is
// deliberate: one that hangs holds up its own container only.
const SandboxIDAnnotation = "io.trivet.cri.sandbox-id"

// annShimGroup names the shim process to join. No container gets it.
const annShimGroup = "io.containerd.runc.v2.group"

// groupingAnnotations are those by which runc's shim groups containers.
var groupingAnnotations = []string{annShimGroup, annSandboxID}

func setAnnotations(in *Input, s *specs.Spec) error {
	meta := in.Pod.GetMetadata()
	passThrough(s, in.Pod.GetAnnotations(), in.Handler.PodAnnotations)
	passThrough(s, in.Config.GetAnnotations(), in.Handler.ContainerAnnotations)
	allowed := in.allowed()
	for _, annotations := range []map[string]string{in.Pod.GetAnnotations(), in.Config.GetAnnotations()} {
		for key, value := range annotations {
			if allowed.PassedOn(key) {
				annotate(s, map[string]string{key: value})
			}
		}
	}
	annotate(s, map[string]string{
		annContainerType:         "container",
		annContainerName:         in.Config.GetMetadata().GetName(),
		annImageName:             in.ImageName,
		annSandboxName:           meta.GetName(),
		annSandboxNamespace:      meta.GetNamespace(),
		annSandboxUID:            meta.GetUid(),
		sandboxIDKey(in.Handler): in.PodID,
	})
	return nil
}

// sandboxIDKey is the name of the annotation with the pod's id. Other shims
// than runc's, and those that make the pod's sandbox, need the usual one to
// find their pod; for runc's it is used
// only if the operator lists it among the handler's annotations, with the
// effect that the shim is shared.
func sandboxIDKey(h config.Handler) string {
	if !IsRunc(h) || h.Sandboxer == "shim" ||
		slices.Contains(h.ContainerAnnotations, annSandboxID) || slices.Contains(h.PodAnnotations, annSandboxID) {
		return annSandboxID
	}
	return SandboxIDAnnotation
}

// IsRunc tells whether a handler's shim is runc's, or one like it.
func IsRunc(h config.Handler) bool { return strings.HasPrefix(h.Type, "io.containerd.runc.") }

// passThrough copies annotations whose key matches one of globs. The keys
// that say what the container is are nobody's but ours.
func passThrough(s *specs.Spec, annotations map[string]string, globs []string) {
	for key, value := range annotations {
		if strings.HasPrefix(key, criPrefix) || key == annShimGroup || key == SandboxIDAnnotation {
			continue
		}
		if slices.ContainsFunc(globs, func(glob string) bool { ok, _ := path.Match(glob, key); return ok }) {
			annotate(s, map[string]string{key: value})
		}
	}
}

func annotate(s *specs.Spec, annotations map[string]string) {
	if s.Annotations == nil {
		s.Annotations = make(map[string]string, len(annotations))
	}
	for key, value := range annotations {
		s.Annotations[key] = value
	}
}
