package pod

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/annotation"
	"github.com/trivet-cri/trivet/runtime/podfiles"
)

// filesRequest is what the pod's annotations want of its files.
func (s *Service) filesRequest(cfg *runtimeapi.PodSandboxConfig, handler config.Handler) (r podfiles.Request, err error) {
	allowed := annotation.Allowed(s.Config.AllowedAnnotations(&handler, cfg.GetAnnotations()))
	if key, value, ok := allowed.Find(cfg.GetAnnotations(), annotation.ShmSize); ok {
		if r.ShmSize, err = shmSize(key, value); err != nil {
			return r, err
		}
	}
	if key, value, ok := allowed.Find(cfg.GetAnnotations(), annotation.LinkLogs); ok {
		r.LogVolume, err = s.logVolume(key, value, cfg.GetMetadata().GetUid())
	}
	return r, err
}

func shmSize(key, value string) (int64, error) {
	size, err := resource.ParseQuantity(value)
	if err != nil {
		return 0, annotation.Invalid(key, value, "is not a size such as 128Mi: %v", err)
	}
	if size.Sign() <= 0 || size.CmpInt64(math.MaxInt64) >= 0 {
		return 0, annotation.Invalid(key, value, "is no size of a file system")
	}
	return size.Value(), nil
}

// logVolume is where the kubelet has the emptyDir volume of a pod, without
// links. Neither name leads out of the kubelet's directory.
func (s *Service) logVolume(key, name, uid string) (string, error) {
	if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
		return "", annotation.Invalid(key, name, "is not the name of a volume: %s", strings.Join(wrong, "; "))
	}
	root, err := securejoin.SecureJoin(filepath.Join("/", s.Config.BindMountPrefix), s.Config.KubeletRoot)
	if err != nil {
		return "", err
	}
	volume, err := securejoin.SecureJoin(root, filepath.Join("pods", uid, "volumes/kubernetes.io~empty-dir", name))
	if errors.Is(err, fs.ErrInvalid) {
		return "", annotation.Invalid(key, name, "cannot be found: %v", err)
	}
	return volume, err
}
