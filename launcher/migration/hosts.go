package migration

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Hosts is a hosts.toml file that takes the place of deprecated settings of a
// registry.
type Hosts struct{ Path, Text string }

// certsDir is where Trivet looks by default, as containerd does.
const certsDir = "/etc/containerd/certs.d/"

// hosts makes a file for each registry with mirrors, and for each with TLS
// settings that is no mirror of another.
func hosts(all settings) []Hosts {
	endpoints := make(map[string][]string)
	for _, s := range all.matching("plugins", imagesPlugin, "registry", "mirrors", "*", "endpoint") {
		endpoints[s.path[4]] = s.strings()
	}
	mirrors := slices.Concat(slices.Collect(maps.Values(endpoints))...)
	for _, s := range all.matching("plugins", imagesPlugin, "registry", "configs", "*", "tls", "*") {
		registry := s.path[4]
		isMirror := slices.ContainsFunc(mirrors, func(endpoint string) bool { return host(endpoint) == registry })
		if !isMirror && len(endpoints[registry]) == 0 && !empty(s.value) {
			endpoints[registry] = []string{"https://" + registry}
		}
	}
	var files []Hosts
	for _, registry := range slices.Sorted(maps.Keys(endpoints)) {
		var text strings.Builder
		for _, endpoint := range endpoints[registry] {
			writeHost(&text, all, endpoint)
		}
		directory := registry
		if registry == "*" {
			directory = "_default"
		}
		if text.Len() > 0 {
			files = append(files, Hosts{Path: certsDir + directory + "/hosts.toml", Text: text.String()})
		}
	}
	return files
}

// writeHost writes one endpoint with its TLS settings. The old format takes
// the path of an endpoint as it is, the new one only when told so.
func writeHost(text *strings.Builder, all settings, endpoint string) {
	fmt.Fprintf(text, "  [host.%q]\n    capabilities = [\"pull\", \"resolve\"]\n", endpoint)
	if u, err := url.Parse(endpoint); err == nil && strings.Trim(u.Path, "/") != "" {
		text.WriteString("    override_path = true\n")
	}
	tls := make(map[string]any)
	for _, s := range all.matching("plugins", imagesPlugin, "registry", "configs", host(endpoint), "tls", "*") {
		tls[s.path[6]] = s.value
	}
	if ca, ok := tls["ca_file"].(string); ok && ca != "" {
		fmt.Fprintf(text, "    ca = %q\n", ca)
	}
	cert, _ := tls["cert_file"].(string)
	key, _ := tls["key_file"].(string)
	if cert != "" {
		fmt.Fprintf(text, "    client = [[%q, %q]]\n", cert, key)
	}
	if tls["insecure_skip_verify"] == true {
		text.WriteString("    skip_verify = true\n")
	}
}

// host is the host of an endpoint, with its port.
func host(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}
