package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
)

// CDI edits a spec for devices of the Container Device Interface, by their
// qualified names. It returns the names that nobody describes.
type CDI interface {
	InjectDevices(s *specs.Spec, names ...string) (unknown []string, err error)
}

// NewCDI reads device descriptions from dirs; a later one wins. It reads them anew for each request, so it
// watches nothing and needs no end.
func NewCDI(dirs ...string) (CDI, error) {
	cache, err := cdi.NewCache(cdi.WithAutoRefresh(false), cdi.WithSpecDirs(dirs...))
	if err != nil {
		return nil, fmt.Errorf("read CDI descriptions: %w", err)
	}
	return cdiCache{cache}, nil
}

type cdiCache struct{ cache *cdi.Cache }

func (c cdiCache) InjectDevices(s *specs.Spec, names ...string) ([]string, error) {
	// A bad file of one vendor must not stop the devices of another: the
	// injection fails itself if it needs that file.
	_ = c.cache.Refresh()
	return c.cache.InjectDevices(s, names...)
}

// setCDI comes last: descriptions may add anything to a spec.
func setCDI(in *Input, s *specs.Spec) error {
	var names []string
	for _, d := range in.Config.GetCDIDevices() {
		names = append(names, d.GetName())
	}
	_, annotated, err := cdi.ParseAnnotations(in.Config.GetAnnotations())
	if err != nil {
		return invalid("annotations", cdi.AnnotationPrefix, "names no CDI devices: %v", err)
	}
	slices.Sort(annotated) // a map had them, and a spec is to be the same each time
	names = unique(append(names, annotated...))
	if len(names) == 0 {
		return nil
	}
	if in.CDI == nil {
		return unable("CDI_devices", names, "cannot be had: CDI is off")
	}
	unknown, err := in.CDI.InjectDevices(s, names...)
	if len(unknown) > 0 {
		return invalid("CDI_devices", strings.Join(unknown, ", "), "is described by no CDI file")
	}
	if err != nil {
		return unable("CDI_devices", names, "cannot be had: %v", err)
	}
	return nil
}

// unique keeps the first of equal names, in order.
func unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(names, func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}
