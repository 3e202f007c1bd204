package config

import (
	"fmt"
	"io"

	"github.com/pelletier/go-toml/v2"
)

// Write writes c as TOML with the comment of every key, so that the output
// of the defaults documents the whole file.
func (c *Config) Write(w io.Writer) error {
	encoder := toml.NewEncoder(w).SetIndentTables(false)
	if err := encoder.Encode(c); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
