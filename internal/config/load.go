package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Load reads the file at path over the defaults and validates the result.
// An empty path means DefaultPath, which may be missing. Every error names
// the file and, where there is one, the line and the key.
func Load(path string) (*Config, error) {
	explicit := path != ""
	if !explicit {
		path = DefaultPath
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !explicit {
		return Default(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text)
}

// Parse reads text over the defaults; name is the file's name for messages.
func Parse(name string, text []byte) (*Config, error) {
	cfg := Default()
	// A handler table in the file replaces the default one as a whole, or a
	// removed default could never be expressed.
	defaults := cfg.Runtime.Handlers
	cfg.Runtime.Handlers = nil
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(cfg); err != nil {
		return nil, describe(name, err)
	}
	if len(cfg.Runtime.Handlers) == 0 {
		cfg.Runtime.Handlers = defaults
	}
	inherit := cfg.Runtime.inherit()
	keys := scan(text)
	// The decoder would take 30 for 30 nanoseconds, which nobody means.
	problems := keys.numericDurations()
	if len(problems) == 0 {
		problems = append(inherit, cfg.validate()...)
	}
	if len(problems) > 0 {
		return nil, keys.locate(name, problems)
	}
	return cfg, nil
}

// describe turns the decoder's errors into one line each: file:line: key: why.
func describe(name string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var all []error
		for _, e := range strict.Errors {
			row, _ := e.Position()
			all = append(all, fmt.Errorf("%s:%d: %s: unknown key", name, row, strings.Join(e.Key(), ".")))
		}
		return errors.Join(all...)
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, _ := decode.Position()
		key := strings.Join(decode.Key(), ".")
		if key != "" {
			key += ": "
		}
		return fmt.Errorf("%s:%d: %s%s", name, row, key, strings.TrimPrefix(decode.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", name, err)
}
