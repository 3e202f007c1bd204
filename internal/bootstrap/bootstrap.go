// Package bootstrap reads what containerd writes down of how to reach a shim:
// its API does not tell.
package bootstrap

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Where containerd has a directory of each task and of each sandbox of a shim,
// below its state directory; then come namespace and id.
const (
	Tasks     = "io.containerd.runtime.v2.task"
	Sandboxes = "io.containerd.sandbox.controller.v1.shim"
)

// Shim is how to reach one.
type Shim struct {
	// Version is that of its task service.
	Version int `json:"version"`
	// Address has a scheme, for example unix:///run/shim.sock.
	Address string `json:"address"`
	// Protocol is ttrpc or grpc.
	Protocol string `json:"protocol"`
}

// Read reads what there is of the shim of a task or a sandbox. state is
// containerd's state directory, kind is Tasks or Sandboxes.
func Read(state, kind, namespace, id string) (Shim, error) {
	path := filepath.Join(state, kind, namespace, id, "bootstrap.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return Shim{}, fmt.Errorf("find shim: %w", err)
	}
	var shim Shim
	if err := json.Unmarshal(text, &shim); err != nil {
		return Shim{}, fmt.Errorf("read address of shim in %s: %w", path, err)
	}
	return shim, nil
}
