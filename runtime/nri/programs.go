package nri

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/nri/pkg/api"
)

// program is a plugin of plugin_path: a file INDEX-NAME that can be executed.
type program struct{ index, base, path string }

func (one program) name() string { return one.index + "-" + one.base }

// wasmMagic is how files in WebAssembly begin, with the version.
const wasmMagic = "\x00asm\x01\x00\x00\x00"

// programs are those of plugin_path, which need not be there: what we start,
// and what the library loads into this process, being in WebAssembly. Files with
// other names are left alone, and logged.
func (p *Plugins) programs() (started, loaded []program, _ error) {
	entries, err := os.ReadDir(p.Config.PluginPath)
	if p.Config.PluginPath == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read nri.plugin_path: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(p.Config.PluginPath, entry.Name())
		info, err := os.Stat(path) // of what a link is to
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		index, base, err := api.ParsePluginName(entry.Name())
		if err == nil {
			err = api.CheckPluginName(base)
		}
		if err != nil {
			p.Log.Warn("program is no NRI plugin by its name, and not started", "path", path, "error", err)
			continue
		}
		one := program{index: index, base: base, path: path}
		if isWasm(path) {
			loaded = append(loaded, one)
		} else {
			started = append(started, one)
		}
	}
	return started, loaded, nil
}

func isWasm(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }() // only read from
	begin := make([]byte, len(wasmMagic))
	_, err = io.ReadFull(file, begin)
	return err == nil && string(begin) == wasmMagic
}

// configuration is what plugin_config_path has for a program; empty if nothing.
func (p *Plugins) configuration(one program) (string, error) {
	if p.Config.PluginConfigPath == "" {
		return "", nil
	}
	for _, name := range []string{one.name(), one.base} {
		text, err := os.ReadFile(filepath.Join(p.Config.PluginConfigPath, name+".conf"))
		if err == nil {
			return string(text), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read configuration: %w", err)
		}
	}
	return "", nil
}
