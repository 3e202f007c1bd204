package config_test

import (
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
)

// Whatever the file holds, Parse ends without a panic, its errors name the
// file, and what it accepts is complete and can be written and read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "root = '/x'", "[log]\nlevel = 'loud'", "[cni]\nattach_timeout = '1m30s'", "[[runtime]]", "a.b.c = 1",
		"[runtime.runtimes.'a.b']\nruntime_type = 'x'", "log = { level = 'debug' }", "[tracing]\nsample_ratio = nan",
		"\xff", "root = \"\\u0000\"", "[runtime.runtimes.x.options]\nBinaryName = 3", "[launcher]\ncritical = [1]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := config.Parse("FILE", text)
		if err != nil {
			if cfg != nil {
				t.Error("both a configuration and an error")
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if strings.HasPrefix(line, "FILE:") {
					return
				}
			}
			t.Fatalf("no line of the error names the file: %v", err)
		}
		if cfg.SystemdCgroup(); cfg.CRISocket() == "" {
			t.Error("incomplete configuration")
		}
		written := write(t, cfg)
		again, err := config.Parse("FILE", []byte(written))
		if err != nil {
			t.Fatalf("written, it is not accepted any more: %v\n%s", err, written)
		}
		if second := write(t, again); second != written {
			t.Errorf("written twice, it differs:\n%s\n%s", written, second)
		}
	})
}

// A duration that is accepted is written so that it reads as the same one.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"", "0", "1s", "1m30s", "-1ns", "1e3s", "9223372036854775807ns", "9223372036854775808ns", "1.5h", "30", "µs", "1µs"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			if d != 0 {
				t.Errorf("%q: refused, but set to %s", text, d.Std())
			}
			return
		}
		written, err := d.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again config.Duration
		if err := again.UnmarshalText(written); err != nil || again != d {
			t.Errorf("%q: written as %q and read as %s: %v", text, written, again.Std(), err)
		}
	})
}
