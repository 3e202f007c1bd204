// Package group turns the configuration into what the supervisor runs.
//
// A generation is made of one accepted configuration: its text is kept in the
// state directory and the members read that copy. A file that is half edited
// when a member crashes therefore harms nothing; a new text takes effect only
// by a reload, which refuses it when it has a mistake.
package group

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/wholefile"
)

// copyName is the file in the state directory that members read.
const copyName = "config.toml"

// Source is the file that the user edits. The empty one is
// config.DefaultPath, which may be missing.
type Source string

// Settings are one accepted configuration.
type Settings struct {
	Config *config.Config
	text   []byte
}

// Path is the file's.
func (s Source) Path() string {
	if s == "" {
		return config.DefaultPath
	}
	return string(s)
}

// Read reads and checks the file. Errors name file, line and key.
func (s Source) Read() (*Settings, error) {
	text, err := os.ReadFile(s.Path())
	if errors.Is(err, fs.ErrNotExist) && s == "" {
		text, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := config.Parse(s.Path(), text)
	if err != nil {
		return nil, err
	}
	return &Settings{Config: cfg, text: text}, nil
}

// replaces checks that a running launcher can take s in place of old: what
// it holds open can only change with its restart.
func (s *Settings) replaces(old *Settings, source Source) error {
	for _, fixed := range []struct {
		key      string
		was, now any
	}{
		{"state", old.Config.State, s.Config.State},
		{"launcher.socket", old.Config.LauncherSocket(), s.Config.LauncherSocket()},
		{"metrics.address", old.Config.Metrics.Address, s.Config.Metrics.Address},
		{"runtime.socket", old.Config.CRISocket(), s.Config.CRISocket()},
		{"streamer.stream_server_address", old.Config.Streamer.Address, s.Config.Streamer.Address},
		{"streamer.stream_server_port", old.Config.Streamer.Port, s.Config.Streamer.Port},
	} {
		if fixed.was != fixed.now {
			return fmt.Errorf("%s: %s: cannot change from %v to %v without a restart of the launcher: %w",
				source.Path(), fixed.key, fixed.was, fixed.now, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// copyPath is where the members find the text.
func (s *Settings) copyPath() string { return filepath.Join(s.Config.State, copyName) }

// writeCopy puts the text where the members find it, whole or not at all.
func (s *Settings) writeCopy() error {
	path := s.copyPath()
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, s.text) {
		return nil
	}
	if err := os.MkdirAll(s.Config.State, 0o711); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	if err := wholefile.Write(path, s.text); err != nil {
		return fmt.Errorf("copy configuration: %w", err)
	}
	return nil
}
