package config_test

import (
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		size config.Size
		back string
	}{
		"":         {0, ""},
		"0":        {0, ""},
		"7":        {7, "7B"},
		"12MiB":    {12 << 20, "12MiB"},
		"12 MiB":   {12 << 20, "12MiB"},
		"12mb":     {12 << 20, "12MiB"},
		"12m":      {12 << 20, "12MiB"},
		"500KiB":   {500 << 10, "500KiB"},
		"1.5k":     {1536, "1536B"},
		"2048b":    {2048, "2KiB"},
		"3T":       {3 << 40, "3TiB"},
		"1pib":     {1 << 50, "1PiB"},
		"4194304K": {4 << 30, "4GiB"},
	} {
		var got config.Size
		err := got.UnmarshalText([]byte(text))
		if err != nil || got != want.size || got.String() != want.back {
			t.Errorf("%q: got %d, %q, %v", text, got, got, err)
		}
	}
	for _, text := range []string{"x", "-1", "12XiB", "12i", "1  M", " 1", "1.", ".5", "1e3", "9000000p", "0x10"} {
		size := config.Size(7)
		if err := size.UnmarshalText([]byte(text)); err == nil || size != 7 {
			t.Errorf("%q: got %d, %v", text, size, err)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, text := range []string{"12MiB", "1.5k", "", "9p", "7"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again config.Size
		if size.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(size.String())); size < 0 || err != nil || size < 1<<50 && again != size {
			t.Errorf("%q: read as %d, written as %q, read as %d: %v", text, size, size, again, err)
		}
	})
}
