package registry

import (
	"fmt"
	"os"
	"path/filepath"
)

// Upstreams are the registries that the lab stands in for.
var Upstreams = []string{"docker.io", "gcr.io", "ghcr.io", "k8s.gcr.io", "quay.io", "registry.k8s.io"}

// WriteHosts writes, for each upstream, a directory with a hosts.toml that
// sends containerd to the registry at address and nowhere else.
func WriteHosts(dir, address string) error {
	for _, upstream := range Upstreams {
		sub := filepath.Join(dir, upstream)
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return fmt.Errorf("write hosts of %s: %w", upstream, err)
		}
		if err := os.WriteFile(filepath.Join(sub, "hosts.toml"), []byte(Hosts(upstream, address)), 0o644); err != nil {
			return fmt.Errorf("write hosts of %s: %w", upstream, err)
		}
	}
	return nil
}

// Hosts is the hosts.toml of one upstream. There is no mirror section: the
// server itself is replaced, so that an image that is not there is asked for
// once, and the real registry never.
func Hosts(upstream, address string) string {
	return fmt.Sprintf(`server = "http://%s/v2/%s"
capabilities = ["pull", "resolve"]
override_path = true
`, address, upstream)
}
