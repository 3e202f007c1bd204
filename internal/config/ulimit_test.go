package config_test

import (
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
)

func TestParseUlimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Ulimit{
		"nofile=1024:4096":    {Name: "nofile", Soft: 1024, Hard: 4096},
		"core=0":              {Name: "core"},
		"nproc=7":             {Name: "nproc", Soft: 7, Hard: 7},
		"memlock=-1":          {Name: "memlock", Soft: config.Unlimited, Hard: config.Unlimited},
		"memlock=1:unlimited": {Name: "memlock", Soft: 1, Hard: config.Unlimited},
	} {
		if got, err := config.ParseUlimit(text); got != want || err != nil {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

func FuzzParseUlimit(f *testing.F) {
	for _, text := range []string{"nofile=1024:4096", "core=-1", "a=b=c", "nofile=:", "=1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := config.ParseUlimit(text)
		if err == nil && (u.Name == "" || u.Soft > u.Hard) {
			t.Errorf("%q: got %+v", text, u)
		}
	})
}
