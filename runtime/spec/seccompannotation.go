package spec

import (
	"github.com/trivet-cri/trivet/runtime/annotation"
)

// annotatedProfile is a seccomp profile by annotation, in the deprecated
// notation. The zero value is none.
type annotatedProfile struct{ key, value string }

// seccompAnnotation is the profile that an annotation names for the container:
// the pod's for this container, the pod's for all of them, the image's. It
// counts if the handler allows it.
func (in *Input) seccompAnnotation() annotatedProfile {
	allowed := in.allowed()
	const base = annotation.SeccompProfile
	own, all := base+"/"+in.Config.GetMetadata().GetName(), base+"/POD"
	for _, look := range []struct {
		in   map[string]string
		name string
	}{
		{in.Pod.GetAnnotations(), own},
		{in.Pod.GetAnnotations(), all},
		{in.ImageAnnotations, base},
		{in.ImageAnnotations, own},
		{in.ImageAnnotations, all},
	} {
		if key, value, ok := allowed.Find(look.in, look.name); ok {
			return annotatedProfile{key, value}
		}
	}
	return annotatedProfile{}
}
