package config_test

import (
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
)

func TestParseDevice(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Device{
		"/dev/fuse":                {"/dev/fuse", "/dev/fuse", "rwm"},
		"/dev/fuse:r":              {"/dev/fuse", "/dev/fuse", "r"},
		"/dev/fuse:mw":             {"/dev/fuse", "/dev/fuse", "mw"},
		"/dev/fuse:/dev/x":         {"/dev/fuse", "/dev/x", "rwm"},
		"/dev/fuse:/dev/net/x:rw":  {"/dev/fuse", "/dev/net/x", "rw"},
		"/dev/fuse::rw":            {"/dev/fuse", "/dev/fuse", "rw"},
		"/host/dev/fuse:/dev/fuse": {"/host/dev/fuse", "/dev/fuse", "rwm"},
	} {
		if got, err := config.ParseDevice(text); err != nil || got != want {
			t.Errorf("ParseDevice(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                       `"": source "" is not an absolute path`,
		"fuse":                   `"fuse": source "fuse" is not an absolute path`,
		":/dev/fuse":             `":/dev/fuse": source "" is not an absolute path`,
		"/dev/fuse:x":            `"/dev/fuse:x": target "x" is not below /dev`,
		"/dev/fuse:rr":           `"/dev/fuse:rr": target "rr" is not below /dev`,
		"/dev/fuse:/dev/x:":      `"/dev/fuse:/dev/x:": access "" is not made of r, w and m`,
		"/dev/fuse:/dev/x:rx":    `"/dev/fuse:/dev/x:rx": access "rx" is not made of r, w and m`,
		"/dev/fuse:/dev/x:rwmr":  `"/dev/fuse:/dev/x:rwmr": access "rwmr" is not made of r, w and m`,
		"/dev/fuse:rw:r":         `"/dev/fuse:rw:r": target "rw" is not below /dev`,
		"/dev/fuse:/dev/x:r:r":   `"/dev/fuse:/dev/x:r:r" is not source:target:access`,
		"/dev/fuse:/tmp/fuse":    `"/dev/fuse:/tmp/fuse": target "/tmp/fuse" is not below /dev`,
		"/dev/fuse:/dev":         `"/dev/fuse:/dev": target "/dev" is not below /dev`,
		"/dev/fuse:/dev/../etc":  `"/dev/fuse:/dev/../etc": target "/dev/../etc" is not below /dev`,
		"/dev/\x00:/dev/x":       `"/dev/\x00:/dev/x": source "/dev/\x00" is not an absolute path`,
		"/dev/fuse:/dev/x\x00:r": `"/dev/fuse:/dev/x\x00:r": target "/dev/x\x00" is not below /dev`,
	} {
		if got, err := config.ParseDevice(text); err == nil || err.Error() != want || got != (config.Device{}) {
			t.Errorf("ParseDevice(%q) = %+v, %v, want %s", text, got, err, want)
		}
	}
}

// What is accepted is written in full and reads as the same.
func FuzzParseDevice(f *testing.F) {
	for _, seed := range []string{"", "/dev/fuse", "/dev/a:/dev/b:rw", "/dev/a::m", ":::", "/a:r:w", "/dev/fuse:rwm", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := config.ParseDevice(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(d.Source, "/") || !strings.HasPrefix(d.Target, "/") || d.Access == "" {
			t.Errorf("%q became %+v", text, d)
		}
		if again, err := config.ParseDevice(d.Source + ":" + d.Target + ":" + d.Access); err != nil || again != d {
			t.Errorf("%q became %+v, and that %+v: %v", text, d, again, err)
		}
	})
}
