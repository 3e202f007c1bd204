// Package network is the lab's pod network: its CNI configuration, and the
// removal of what pods have left of it on the machine.
package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

// Config says what a lab's network is called and where it lies.
type Config struct {
	Name    string
	Bridge  string
	Subnet  netip.Prefix
	DataDir string // of host-local: the addresses that are given out
}

type object = map[string]any

// Conflist is the CNI configuration: a bridge with masquerading towards the
// machine's other networks, and port mappings.
func (c Config) Conflist() ([]byte, error) {
	return json.MarshalIndent(object{
		"cniVersion": "1.1.0",
		"name":       c.Name,
		"plugins": []object{
			{
				"type": "bridge", "bridge": c.Bridge, "isGateway": true, "ipMasq": true, "hairpinMode": true,
				"ipam": object{
					"type": "host-local", "dataDir": c.DataDir,
					"ranges": [][]object{{{"subnet": c.Subnet.String()}}},
					"routes": []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}, "snat": true},
		},
	}, "", "  ")
}

// Write writes the configuration into dir, which is made.
func (c Config) Write(dir string) error {
	text, err := c.Conflist()
	if err != nil {
		return fmt.Errorf("write network %s: %w", c.Name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write network %s: %w", c.Name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "10-lab.conflist"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write network %s: %w", c.Name, err)
	}
	return nil
}
