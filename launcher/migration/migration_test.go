package migration_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/launcher/migration"
)

var update = flag.Bool("update", false, "write the expected files")

// migrate returns the result with its texts, after checking what is true of
// all: the configuration loads, as what the result says it is.
func migrate(t testing.TB, file string, release int) (result *migration.Result, text, report string) {
	t.Helper()
	result, err := migration.Migrate(file, release)
	if err != nil {
		t.Fatal(err)
	}
	var written, told strings.Builder
	if err := result.WriteConfig(&written); err != nil {
		t.Fatal(err)
	}
	if err := result.WriteReport(&told); err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Parse("trivet.toml", []byte(written.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, written.String())
	}
	// Written again, so that nil and empty lists are the same.
	if again := encode(t, loaded); again != encode(t, result.Config) {
		t.Errorf("loaded is\n%s\nwant\n%s", again, encode(t, result.Config))
	}
	return result, written.String(), told.String()
}

func encode(t testing.TB, c *config.Config) string {
	t.Helper()
	for name, handler := range c.Runtime.Handlers {
		handler.Sandboxer = strings.TrimPrefix(handler.Sandboxer, "podsandbox") // the same as empty
		c.Runtime.Handlers[name] = handler
	}
	var text strings.Builder
	if err := c.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func write(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/v*.toml")
	if err != nil || len(files) < 7 {
		t.Fatalf("%v, %q", err, files)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			_, text, report := migrate(t, file, 0)
			for suffix, got := range map[string]string{".trivet": text, ".report": report} {
				path := strings.TrimSuffix(file, ".toml") + suffix
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
				}
			}
			if strings.Contains(report, "secret") {
				t.Errorf("the report tells a secret:\n%s", report)
			}
		})
	}
}

// TestDefaultsAreKnown migrates complete dumps: each of their keys is known,
// and those of containerd 2 need no configuration beyond what differs.
func TestDefaultsAreKnown(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/v2-kubeadm.toml", "testdata/v4-default.toml"} {
		result, _, _ := migrate(t, file, 0)
		for _, n := range result.Notes {
			if n.Kind == migration.Unknown {
				t.Errorf("%s: %s is unknown", n.Place, n.Key)
			}
		}
	}
}

// TestEveryKeyCounts sets one key at a time: it changes the configuration, or
// there is a note about it.
func TestEveryKeyCounts(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	empty, _, _ := migrate(t, write(t, "version = 4\n"), 0)
	before := encode(t, empty.Config)
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] == "#" {
			continue
		}
		plugin, key, value := fields[0], fields[1], fields[2]
		t.Run(plugin+"."+key, func(t *testing.T) {
			t.Parallel()
			text := "version = 4\n[plugins.'" + plugin + "']\n" + key + " = " + value + "\n"
			if strings.Contains(key, "x509") { // each alone is refused, in containerd as well
				text += "enable_tls_streaming = true\nx509_key_pair_streaming.tls_cert_file = '/c'\nx509_key_pair_streaming.tls_key_file = '/k'\n"
				text = strings.Replace(text, key+" = "+value+"\n", "", 1)
			}
			if strings.HasSuffix(key, ".io_type") {
				text += strings.Replace(key, "io_type", "sandboxer", 1) + " = 'shim'\n"
			}
			result, written, report := migrate(t, write(t, text), 0)
			noted := slices.ContainsFunc(result.Notes, func(n migration.Note) bool {
				return strings.HasSuffix(n.Key, strings.TrimPrefix(key, "registry")) && n.Kind != migration.Unknown && !strings.Contains(n.Why, "refuses")
			})
			if encode(t, result.Config) == before && !noted && key != "containerd.default_runtime_name" {
				t.Errorf("%s = %s is lost:\n%s\n%s", key, value, written, report)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"version = 2\nroot = \n":              ":2: ",
		"version = 5\n":                       ":1: version: 5 is none of 1 to 4",
		"\nversion = \"2\"\n":                 ":2: version: 2 is none of 1 to 4",
		"version = -1\n":                      ":1: version: -1 is none of 1 to 4",
		"a = 1\na = 2\n":                      ":2: ",
		"version = 3\nimports = [\"gone\"]\n": "/gone: no such file",
		"version = 3\nimports = [\"[*\"]\n":   ":2: imports: ",
	} {
		file := write(t, text)
		_, err := migration.Migrate(file, 0)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := migration.Migrate(write(t, "version = 3\n"), 3); !errdefs.IsInvalidArgument(err) {
		t.Errorf("release 3: %v", err)
	}
}

// TestValuesThatTrivetRefuses do not get into the configuration.
func TestValuesThatTrivetRefuses(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{
		"enable_selinux": "'yes'", "cdi_spec_dirs": "['relative']", "selinux_category_range": "5000",
		"drain_exec_sync_io_timeout": "'-1s'", "cni.ip_pref": "'both'", "cni.bin_dirs": "[1]",
		"cni.max_conf_num": "-1", "containerd.default_runtime_name": "'gone'", "containerd.runtimes.x.snapshotter": "'a'",
		"containerd.runtimes.runc.options.IoUid": "-1", "containerd.runtimes.runc.sandboxer": "'own'",
	} {
		file := write(t, "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\n"+key+" = "+value+"\n")
		result, _, report := migrate(t, file, 0)
		if !slices.ContainsFunc(result.Notes, func(n migration.Note) bool {
			return n.Kind == migration.Lost && n.Place == file+":3" && strings.HasSuffix(n.Key, key)
		}) {
			t.Errorf("%s = %s has no note:\n%s", key, value, report)
		}
	}
}

func TestReleaseDecidesDefaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text    string
		release int
		want    bool
	}{
		{"version = 2\n", 0, false},
		{"version = 2\n", migration.Release2, true},
		{"version = 3\n", 0, true},
		{"version = 3\n", migration.Release1, false},
		{"version = 2\n[plugins.'io.containerd.grpc.v1.cri']\nenable_unprivileged_ports = true\nenable_unprivileged_icmp = true\nenable_cdi = true\n[plugins.'io.containerd.nri.v1.nri']\ndisable = false\n", 0, true},
	} {
		result, _, _ := migrate(t, write(t, test.text), test.release)
		c := result.Config
		for what, got := range map[string]bool{
			"ports": c.Runtime.EnableUnprivilegedPorts, "icmp": c.Runtime.EnableUnprivilegedICMP,
			"cdi": len(c.Runtime.CDISpecDirs) > 0, "nri": !c.NRI.Disable,
		} {
			if got != test.want {
				t.Errorf("%q, release %d: %s is %t", test.text, test.release, what, got)
			}
		}
		if !c.Runtime.DisableHugetlbController {
			t.Errorf("%q: hugepage limits are not ignored, as containerd does", test.text)
		}
	}
}

// TestNewerNameWins has a key by both names in one file.
func TestNewerNameWins(t *testing.T) {
	t.Parallel()
	file := write(t, `version = 3
[plugins.'io.containerd.grpc.v1.cri']
max_container_log_line_size = 1
sandbox_image = 'example.org/own:old'
[plugins.'io.containerd.cri.v1.runtime']
max_container_log_line_size = 2
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'example.org/own:new'
`)
	result, _, report := migrate(t, file, 0)
	if got := result.Config.Runtime.MaxContainerLogLineSize; got != 2 {
		t.Errorf("max_container_log_line_size is %d", got)
	}
	// containerd does it the other way round for what became the images'.
	if got := result.Config.Image.PauseImage; got != "example.org/own:old" {
		t.Errorf("pause_image is %s", got)
	}
	for _, place := range []string{file + ":3", file + ":8"} {
		if !strings.Contains(report, place) {
			t.Errorf("nothing about %s:\n%s", place, report)
		}
	}
}
