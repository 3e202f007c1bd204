package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/internal/config"
)

func TestMistakesOfForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":            {"root = '/x'\nrooot = '/y'\n", "f:2: rooot: unknown key"},
		"unknown key in table":   {"[cni]\n\nconfdir = '/y'\n", "f:3: cni.confdir: unknown key"},
		"unknown table":          {"[cry]\n", "f:1: cry: unknown key"},
		"unknown key of handler": {"[runtime.runtimes.runc]\nruntime_type='x'\n[runtime.runtimes.runc.options]\nSystemdGroup = true\n", "f:4: runtime.runtimes.runc.options.SystemdGroup: unknown key"},
		"several":                {"a = 1\nb = 2\n", "f:1: a: unknown key\nf:2: b: unknown key"},
		"wrong type":             {"[log]\nlevel = 3\n", "f:2: log.level: "},
		"text for a number":      {"[launcher]\nhealth_threshold = 'three'\n", "f:2: launcher.health_threshold: "},
		"duration without unit":  {"[cni]\nattach_timeout = '30'\n", "f:2: cni.attach_timeout: "},
		"number as duration":     {"[cni]\nattach_timeout = 30\n", "f:2: cni.attach_timeout: "},
		"number in inline table": {"\ncni = { poll_interval = 30 }\n", "f:2: cni.poll_interval: "},
		"not TOML":               {"[log]\nlevel = \n", "f:2: "},
		"twice the same key":     {"root = '/x'\nroot = '/y'\n", "f:2: root: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("f", []byte(c.text))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error is %v\nwant     %s...", err, c.want)
			}
			if cfg != nil {
				t.Error("a bad file gave a configuration")
			}
		})
	}
}

func TestDurationWithoutUnitSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`'30'`: `f:2: cni.attach_timeout: duration "30": use a number with a unit, such as "30s"`,
		`30`:   `f:2: cni.attach_timeout: duration 30: use a string with a unit, such as "30s"`,
	} {
		_, err := config.Parse("f", []byte("[cni]\nattach_timeout = "+value+"\n"))
		if err == nil || err.Error() != want {
			t.Errorf("%s: error is %v", value, err)
		}
	}
}

func TestParseReplacesOnlyWhatTheFileSays(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("f", []byte(`
[cni]
bin_dirs = ["/a"]
attach_timeout = "90s"
[launcher]
critical = []
[runtime]
default_runtime_name = "crun"
[runtime.runtimes.crun]
runtime_type = "io.containerd.runc.v2"
[runtime.runtimes.crun.options]
BinaryName = "crun"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.CNI.BinDirs = []string{"/a"}
	want.CNI.AttachTimeout = config.Duration(90 * time.Second)
	want.Launcher.Critical = []string{}
	want.Runtime.DefaultHandler = "crun"
	want.Runtime.Handlers = map[string]config.Handler{
		"crun": {Type: "io.containerd.runc.v2", Options: config.Options{BinaryName: "crun"}},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("configuration is\n%+v\nwant\n%+v", cfg, want)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trivet.toml")
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file that was named: error is %v", err)
	}
	if err := os.WriteFile(path, []byte("root = '/there'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil || cfg.Root != "/there" || cfg.State != config.Default().State {
		t.Errorf("configuration is %+v, error %v", cfg, err)
	}
	if err := os.WriteFile(path, []byte("\nroot = 'here'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || err.Error() != path+`:2: root: "here" is not an absolute path` {
		t.Errorf("error is %v", err)
	}
}

func TestDefaultIsValidAndWritesItself(t *testing.T) {
	t.Parallel()
	written := write(t, config.Default())
	cfg, err := config.Parse("defaults", []byte(written))
	if err != nil {
		t.Fatal(err)
	}
	if second := write(t, cfg); second != written {
		t.Errorf("read and written again, the defaults are\n%s\nnot\n%s", second, written)
	}
	// Empty and missing lists are the same in a file.
	if got, want := normal(cfg), normal(config.Default()); !reflect.DeepEqual(got, want) {
		t.Errorf("read again, the defaults are\n%+v\nnot\n%+v", got, want)
	}
}

// normal makes empty lists and maps nil.
func normal(cfg *config.Config) *config.Config {
	empty(reflect.ValueOf(cfg).Elem())
	return cfg
}

func empty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			empty(v.Field(i))
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(key))
			empty(element)
			v.SetMapIndex(key, element)
		}
		if v.Len() == 0 {
			v.SetZero()
		}
	}
}

// The written defaults are the manual: no key without its comment, right
// above it, and no field that the file does not show.
func TestEveryKeyIsWrittenWithItsComment(t *testing.T) {
	t.Parallel()
	written, example, _ := strings.Cut(write(t, config.Default()), "\n# [runtime.workloads]\n")
	lines := strings.Split(written+strings.ReplaceAll(example, "\n# ", "\n"), "\n")
	keys := 0
	eachField(reflect.TypeFor[config.Config](), func(field reflect.StructField) {
		key, comment := field.Tag.Get("toml"), field.Tag.Get("comment")
		if key == "" || comment == "" {
			t.Errorf("field %s has key %q and comment %q", field.Name, key, comment)
			return
		}
		if !strings.HasSuffix(comment, ".") || strings.Contains(comment, "\n") {
			t.Errorf("comment of %s is not one line of sentences: %q", key, comment)
		}
		if field.Type.Kind() == reflect.Map {
			return // a table of tables, which has no line of its own
		}
		keys++
		for i, line := range lines {
			if i > 0 && lines[i-1] == "# "+comment && (strings.HasPrefix(line, key+" = ") || line == "["+key+"]" || strings.HasSuffix(line, "."+key+"]")) {
				return
			}
		}
		t.Errorf("key %s is not written below its comment %q", key, comment)
	})
	if keys < 90 {
		t.Errorf("only %d keys were looked at", keys)
	}
}

// eachField visits the fields of a struct and of the structs in it.
func eachField(t reflect.Type, visit func(reflect.StructField)) {
	for i := range t.NumField() {
		field := t.Field(i)
		visit(field)
		inner := field.Type
		if inner.Kind() == reflect.Map {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			eachField(inner, visit)
		}
	}
}

func TestSocketPaths(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.State, cfg.Root = "/s", "/r"
	derived := func() []string {
		return []string{cfg.LauncherSocket(), cfg.CRISocket(), cfg.StreamerSocket(), cfg.NetSyncSocket(), cfg.CNICacheDir(), cfg.HealthSocket()}
	}
	cfg.Containerd.Socket = "/c/containerd.sock"
	if cfg.ContainerdState() != "/c" {
		t.Errorf("containerd's state directory is %q", cfg.ContainerdState())
	}
	cfg.Containerd.State = "/cs"
	if cfg.ContainerdState() != "/cs" {
		t.Errorf("containerd's state directory is %q, not as set", cfg.ContainerdState())
	}
	want := []string{"/s/launcher.sock", "/s/trivet.sock", "/s/streamer.sock", "/s/netsync.sock", "/r/cni", "/s/runtime-health.sock"}
	if got := derived(); !reflect.DeepEqual(got, want) {
		t.Errorf("paths are %v, want %v", got, want)
	}
	cfg.Launcher.Socket, cfg.Runtime.Socket, cfg.Streamer.Socket, cfg.CNI.Socket, cfg.CNI.CacheDir = "/l", "/c", "/st", "/n", "/cache"
	want = []string{"/l", "/c", "/st", "/n", "/cache", "/s/runtime-health.sock"}
	if got := derived(); !reflect.DeepEqual(got, want) {
		t.Errorf("paths are %v, want %v", got, want)
	}
}

func TestSystemdCgroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		driver  string
		handler bool
		want    bool
	}{
		{"", false, false}, {"", true, true}, {"systemd", false, true}, {"cgroupfs", true, false},
	} {
		cfg := config.Default()
		cfg.Runtime.CgroupDriver = c.driver
		cfg.Runtime.Handlers["runc"] = config.Handler{Options: config.Options{SystemdCgroup: c.handler}}
		if got := cfg.SystemdCgroup(); got != c.want {
			t.Errorf("driver %q, handler %t: %t", c.driver, c.handler, got)
		}
	}
}

func write(t *testing.T, cfg *config.Config) string {
	t.Helper()
	var out bytes.Buffer
	if err := cfg.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
