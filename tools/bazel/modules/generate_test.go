package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

func TestDepsAreFresh(t *testing.T) {
	t.Parallel()
	want, err := generate(filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "tools/bazel/deps.bzl"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("tools/bazel/deps.bzl is not what go.mod and go.sum give: run tools/bazel/tidy")
	}
}

func TestRepositoryIsNamedAsGazelleDoes(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"github.com/Microsoft/go-winio":           "com_github_microsoft_go_winio",
		"google.golang.org/grpc":                  "org_golang_google_grpc",
		"go.yaml.in/yaml/v3":                      "in_yaml_go_yaml_v3",
		"tags.cncf.io/container-device-interface": "io_cncf_tags_container_device_interface",
		"github.com/containerd/containerd/v2":     "com_github_containerd_containerd_v2",
		"gopkg.in/yaml.v3":                        "in_gopkg_yaml_v3",
		"git.sr.ht/~someone/thing":                "ht_sr_git__someone_thing",
		"example.com":                             "com_example",
	} {
		if got := repository(path); got != want {
			t.Errorf("%s is named %s, want %s", path, got, want)
		}
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	const mod = "module m\n\ngo 1.26\n\nrequire (\n\texample.com/used v1.2.3\n\texample.com/unused v1.0.0 // indirect\n)\n"
	const sum = "example.com/used v1.2.3 h1:aaa=\nexample.com/used v1.2.3/go.mod h1:bbb=\nexample.com/unused v1.0.0/go.mod h1:ccc=\n"
	for name, c := range map[string]struct {
		mod, sum  string
		has, lack string
		err       string
	}{
		"what is used":     {mod: mod, sum: sum, has: `sum = "h1:aaa="`, lack: "unused"},
		"notices":          {mod: mod, sum: sum, has: `"@com_example_used//:notices": "example.com/used"`, lack: "h1:bbb="},
		"a replace":        {mod: mod + "\nreplace example.com/used => ../used\n", sum: sum, err: "replace example.com/used"},
		"a broken go.sum":  {mod: mod, sum: sum + "example.com/used v1.2.3\n", err: "go.sum:4: 2 fields"},
		"a broken go.mod":  {mod: "modul m\n", sum: sum, err: "go.mod:1"},
		"a missing go.sum": {mod: mod, err: "go.sum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			modPath, sumPath := filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")
			write(t, modPath, c.mod)
			if c.sum != "" {
				write(t, sumPath, c.sum)
			}
			text, err := generate(modPath, sumPath)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error is %v, want %q in it", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), c.has) || strings.Contains(string(text), c.lack) {
				t.Errorf("want %q and not %q in\n%s", c.has, c.lack, text)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
