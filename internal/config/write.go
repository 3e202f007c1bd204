package config

import (
	"bytes"
	"fmt"
	"io"

	"github.com/pelletier/go-toml/v2"
)

// Write writes c as TOML with the comment of every key, so that the output
// of the defaults documents the whole file. A table that it has none of is
// shown commented out.
func (c *Config) Write(w io.Writer) error {
	encoder := toml.NewEncoder(w).SetIndentTables(false)
	if err := encoder.Encode(c); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if len(c.Runtime.Workloads) > 0 {
		return nil
	}
	if err := writeExample(w); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// writeExample shows the keys of a workload.
func writeExample(w io.Writer) error {
	var example struct {
		Runtime struct {
			Workloads Workloads `toml:"workloads" comment:"Kinds of pods whose processor time is not the client's to say."`
		} `toml:"runtime"`
	}
	example.Runtime.Workloads = Workloads{"NAME": {}}
	text, err := toml.Marshal(example)
	if err != nil {
		return err
	}
	_, text, _ = bytes.Cut(text, []byte("[runtime]\n"))
	text = append([]byte("\n"), text...)
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) > 0 {
			line = append([]byte("# "), line...)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}
