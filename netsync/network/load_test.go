package network_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/netsync/network"
)

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func list(name string) string {
	return `{"cniVersion":"1.0.0","name":"` + name + `","disableCheck":true,"plugins":[{"type":"bridge"},{"type":"portmap"}]}`
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		limit int
		want  string // name:interface:plugins of each
		says  string
		kind  func(error) bool
	}{
		"sorted, all":         {map[string]string{"20.conflist": list("b"), "10.conflist": list("a")}, 0, "a:eth0:bridge,portmap b:eth1:bridge,portmap", "", nil},
		"limited":             {map[string]string{"20.conflist": "broken", "10.conflist": list("a")}, 1, "a:eth0:bridge,portmap", "", nil},
		"single plugin":       {map[string]string{"10.conf": `{"cniVersion":"0.4.0","name":"one","type":"ptp"}`}, 1, "one:eth0:ptp", "", nil},
		"json":                {map[string]string{"10.json": `{"cniVersion":"0.4.0","name":"one","type":"ptp"}`}, 1, "one:eth0:ptp", "", nil},
		"other files":         {map[string]string{"10.conflist.new": "x", "README": "x", "20.conflist": list("a")}, 1, "a:eth0:bridge,portmap", "", nil},
		"plugins beside":      {map[string]string{"10.conflist": `{"cniVersion":"1.1.0","name":"n"}`, "n/1.conf": `{"type":"ptp"}`}, 1, "n:eth0:ptp", "", nil},
		"empty":               {nil, 1, "", "no network configuration", errdefs.IsNotFound},
		"broken":              {map[string]string{"10.conflist": "{"}, 1, "", "10.conflist", errdefs.IsInvalidArgument},
		"second broken":       {map[string]string{"10.conflist": list("a"), "20.conflist": "{"}, 0, "", "20.conflist", errdefs.IsInvalidArgument},
		"no type":             {map[string]string{"10.conf": `{"name":"x"}`}, 1, "", "type", errdefs.IsInvalidArgument},
		"list in a conf":      {map[string]string{"10.conf": list("x")}, 1, "", "type", errdefs.IsInvalidArgument},
		"no plugins":          {map[string]string{"10.conflist": `{"name":"x","plugins":[]}`}, 1, "", "no plugins", errdefs.IsInvalidArgument},
		"no name":             {map[string]string{"10.conflist": `{"plugins":[{"type":"a"}]}`}, 1, "", "no name", errdefs.IsInvalidArgument},
		"name is a path":      {map[string]string{"10.conflist": list("../x")}, 1, "", "../x", errdefs.IsInvalidArgument},
		"version of tomorrow": {map[string]string{"10.conflist": `{"cniVersion":"9.0.0","name":"x","plugins":[{"type":"a"}]}`}, 1, "", "9.0.0", errdefs.IsInvalidArgument},
		"version is none":     {map[string]string{"10.conflist": `{"cniVersion":"new","name":"x","plugins":[{"type":"a"}]}`}, 1, "", "new", errdefs.IsInvalidArgument},
		"too large":           {map[string]string{"10.conflist": list("x") + strings.Repeat(" ", 1<<20)}, 1, "", "larger", errdefs.IsInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, test.files)
			networks, err := network.Load(dir, test.limit)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) || !test.kind(err) {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range networks {
				got = append(got, n.Name+":"+n.Interface+":"+strings.Join(n.Plugins, ","))
				// What goes into the ledger needs no other file.
				parsed, err := network.Parse(n.Config)
				if err != nil || len(parsed.Plugins) != len(n.Plugins) {
					t.Errorf("%s: complete configuration %s: %v", n.Name, n.Config, err)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("loaded %q", got)
			}
		})
	}
}

func TestLoadMissingDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "no", "such")
	if _, err := network.Load(dir, 1); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v", err)
	}
}

func TestLoadDoesNotBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "10.conflist"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := network.Load(dir, 1); !errdefs.IsInvalidArgument(err) {
		t.Errorf("error is %v", err)
	}
}

// FuzzParse has every configuration either refused or good enough to be read
// again, as it is from the ledger.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{list("a"), "{", `{"name":"x","plugins":[{"type":"t"},null]}`, `{"cniVersions":["1.0.0"],"name":"x","plugins":[{"type":"t"}]}`, `null`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		write(t, dir, map[string]string{"x.conflist": text})
		networks, err := network.Load(dir, 0)
		if err != nil {
			return
		}
		again, err := network.Parse(networks[0].Config)
		if err != nil || again.Name != networks[0].Name {
			t.Errorf("%q became %q: %v", text, networks[0].Config, err)
		}
	})
}
