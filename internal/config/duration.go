package config

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that TOML writes as a string such as "1m30s".
type Duration time.Duration

// Std is d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// MarshalText writes d in the standard library's notation.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText reads the standard library's notation.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: use a number with a unit, such as \"30s\"", text)
	}
	*d = Duration(parsed)
	return nil
}
