package config

import (
	"fmt"
	"reflect"
	"strings"
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

// isDuration tells whether the dotted key is that of a Duration.
func isDuration(key string) bool {
	at := reflect.TypeFor[Config]()
	for part := range strings.SplitSeq(key, ".") {
		if at.Kind() != reflect.Struct {
			return false
		}
		field, ok := at.FieldByNameFunc(func(name string) bool {
			field, _ := at.FieldByName(name)
			return strings.EqualFold(field.Tag.Get("toml"), part)
		})
		if !ok {
			return false
		}
		at = field.Type
	}
	return at == reflect.TypeFor[Duration]()
}
