package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"
)

// maxFileSize bounds a configuration file in bytes; real ones have a few KiB.
const maxFileSize = 1 << 20

// extensions are the names that count as configurations, as go-cni has them.
var extensions = []string{".conf", ".conflist", ".json"}

// Load reads the first limit configurations of dir in the order of their file
// names, all if limit is 0. One bad file among them is an error that names
// it. Errors: ErrNotFound when there is no configuration, ErrInvalidArgument
// when one is broken.
func Load(dir string, limit int) ([]*Network, error) {
	files, err := libcni.ConfFiles(dir, extensions)
	if err != nil {
		return nil, fmt.Errorf("read network configurations: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no network configuration in %s: %w", dir, errdefs.ErrNotFound)
	}
	slices.Sort(files)
	if limit > 0 && len(files) > limit {
		files = files[:limit]
	}
	networks := make([]*Network, 0, len(files))
	for i, file := range files {
		n, err := loadFile(file)
		if err != nil {
			return nil, fmt.Errorf("network configuration %s: %w", file, err)
		}
		n.Interface = fmt.Sprintf("eth%d", i)
		networks = append(networks, n)
	}
	return networks, nil
}

func loadFile(file string) (*Network, error) {
	// A FIFO or a device in the directory would block the read for ever.
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("is not a regular file: %w", errdefs.ErrInvalidArgument)
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("is larger than %d bytes: %w", maxFileSize, errdefs.ErrInvalidArgument)
	}
	list, err := parseFile(file)
	if err == nil {
		err = check(list)
	}
	if err != nil {
		return nil, invalid(err)
	}
	config, err := complete(list)
	if err != nil {
		return nil, invalid(err)
	}
	n := &Network{Name: list.Name, File: file, Config: config}
	for _, p := range list.Plugins {
		n.Plugins = append(n.Plugins, p.Network.Type)
	}
	return n, nil
}

func parseFile(file string) (*libcni.NetworkConfigList, error) {
	if filepath.Ext(file) == ".conflist" {
		return libcni.NetworkConfFromFile(file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	single, err := libcni.NetworkPluginConfFromBytes(text)
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(map[string]any{
		"name": single.Network.Name, "cniVersion": single.Network.CNIVersion, "plugins": []json.RawMessage{text},
	})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(list)
}

// Parse reads a complete conflist, such as Network.Config, with the checks
// that Load makes. Errors are ErrInvalidArgument.
func Parse(config []byte) (*libcni.NetworkConfigList, error) {
	list, err := libcni.NetworkConfFromBytes(config)
	if err == nil {
		err = check(list)
	}
	if err != nil {
		return nil, invalid(err)
	}
	return list, nil
}

// check finds now what would otherwise fail with each pod.
func check(list *libcni.NetworkConfigList) error {
	if len(list.Plugins) == 0 {
		return errors.New("no plugins")
	}
	if err := utils.ValidateNetworkName(list.Name); err != nil {
		return err
	}
	if list.CNIVersion == "" {
		return nil // 0.1.0, says the specification
	}
	newer, err := version.GreaterThan(list.CNIVersion, version.Current())
	if err != nil {
		return fmt.Errorf("cniVersion %q: %w", list.CNIVersion, err)
	}
	if newer {
		return fmt.Errorf("cniVersion %q is newer than %s, the newest supported", list.CNIVersion, version.Current())
	}
	return nil
}

// invalid marks err as the configuration's fault.
func invalid(err error) error {
	return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
}
