package daemon_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/tools/lab/daemon"
	"github.com/trivet-cri/trivet/tools/lab/sweep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func containerd(cri bool) daemon.Containerd {
	return daemon.Containerd{
		Dir: "/lab/containerd", ShimDir: "/run/lab/s", BinDir: "/lab/bin", CNIBinDir: "/lab/cni/bin", CNIConfDir: "/lab/cni/net.d",
		CertsDir: "/lab/certs", CRI: cri, RestrictOOMScoreAdj: true,
	}
}

func parsed(t *testing.T, c daemon.Containerd) map[string]any {
	t.Helper()
	text, err := c.Configuration()
	if err != nil {
		t.Fatal(err)
	}
	config := make(map[string]any)
	if err := toml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// at follows keys into a configuration.
func at(t *testing.T, config map[string]any, keys ...string) any {
	t.Helper()
	var here any = config
	for _, key := range keys {
		inside, ok := here.(map[string]any)
		if !ok {
			t.Fatalf("no table above %q in %q", key, keys)
		}
		here = inside[key]
	}
	return here
}

func TestConfigurationForTrivet(t *testing.T) {
	t.Parallel()
	config := parsed(t, containerd(false))
	disabled, _ := config["disabled_plugins"].([]any)
	for _, plugin := range []string{"io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"} {
		if !slices.Contains(disabled, any(plugin)) {
			t.Errorf("%s is not disabled", plugin)
		}
	}
	if got := at(t, config, "plugins", "io.containerd.transfer.v1.local", "config_path"); got != "/lab/certs" {
		t.Errorf("the transfer service reads hosts from %v", got)
	}
	if got := config["version"]; got != int64(4) {
		t.Errorf("version is %v", got)
	}
}

func TestConfigurationForTheBaseline(t *testing.T) {
	t.Parallel()
	config := parsed(t, containerd(true))
	if disabled, _ := config["disabled_plugins"].([]any); len(disabled) != 0 {
		t.Errorf("disabled plugins are %v", disabled)
	}
	const cri = "io.containerd.cri.v1.runtime"
	for _, want := range []struct {
		value any
		keys  []string
	}{
		{true, []string{cri, "restrict_oom_score_adj"}},
		{"/lab/cni/net.d", []string{cri, "cni", "conf_dir"}},
		{"/lab/bin/runc", []string{cri, "containerd", "runtimes", "runc", "options", "BinaryName"}},
		{"/lab/bin/crun", []string{cri, "containerd", "runtimes", "crun", "options", "BinaryName"}},
		{"/lab/certs", []string{"io.containerd.cri.v1.images", "registry", "config_path"}},
		{"overlayfs", []string{"io.containerd.cri.v1.images", "snapshotter"}},
		{"127.0.0.1", []string{"io.containerd.grpc.v1.cri", "stream_server_address"}},
		{"0", []string{"io.containerd.grpc.v1.cri", "stream_server_port"}},
	} {
		if got := at(t, config, append([]string{"plugins"}, want.keys...)...); got != want.value {
			t.Errorf("%q is %v, not %v", want.keys, got, want.value)
		}
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	c := containerd(true)
	c.Overlay = []byte(`
restrict_oom_score_adj = false
[containerd.runtimes.runc]
pod_annotations = ["a.example/*"]
[containerd.runtimes.other]
runtime_type = "io.containerd.runc.v2"
`)
	config := parsed(t, c)
	const cri = "io.containerd.cri.v1.runtime"
	for _, want := range []struct {
		value any
		keys  []string
	}{
		{false, []string{cri, "restrict_oom_score_adj"}},
		{"/lab/bin/runc", []string{cri, "containerd", "runtimes", "runc", "options", "BinaryName"}},
		{"io.containerd.runc.v2", []string{cri, "containerd", "runtimes", "other", "runtime_type"}},
		{"/lab/bin/crun", []string{cri, "containerd", "runtimes", "crun", "options", "BinaryName"}},
	} {
		if got := at(t, config, append([]string{"plugins"}, want.keys...)...); got != want.value {
			t.Errorf("%q is %v, not %v", want.keys, got, want.value)
		}
	}
	c.Overlay = []byte("[broken")
	if _, err := c.Configuration(); err == nil {
		t.Error("a broken overlay is taken")
	}
}

func TestNothingOutsideOfTheLab(t *testing.T) {
	t.Parallel()
	for _, cri := range []bool{false, true} {
		text, err := containerd(cri).Configuration()
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return strings.ContainsRune("'\" \n[],", r) }) {
			if strings.HasPrefix(word, "/") && !strings.HasPrefix(word, "/lab/") && !strings.HasPrefix(word, "/run/lab/") {
				t.Errorf("cri %t: path %s", cri, word)
			}
		}
	}
}

func TestJaegerListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	j, err := daemon.NewJaeger()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, arg := range j.Args() {
		name, address, _ := strings.Cut(arg, "=")
		if !strings.HasSuffix(name, "host-port") {
			continue
		}
		if !strings.HasPrefix(address, "127.0.0.1:") || seen[address] {
			t.Errorf("%s listens on %s", name, address)
		}
		seen[address] = true
	}
	if !seen[j.OTLP] || !seen[j.Query] {
		t.Errorf("%+v is not what the arguments say: %v", j, j.Args())
	}
}

// script is a daemon that writes to count each time it starts.
func script(t *testing.T, text string) (daemon.Spec, string) {
	t.Helper()
	family, err := sweep.NewFamily()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return daemon.Spec{
		Name: "script", Args: []string{"/bin/sh", "-c", text}, Dir: dir, Log: filepath.Join(dir, "log"), Family: family,
		Env: []string{"MARK=marked"},
	}, filepath.Join(dir, "log")
}

func TestDaemonThatDoesNotComeUp(t *testing.T) {
	spec, log := script(t, "echo $MARK; exit 3")
	err := daemon.Run(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), log) {
		t.Errorf("error is %v", err)
	}
	if text, _ := os.ReadFile(log); string(text) != "marked\n" {
		t.Errorf("log has %q", text)
	}
}

func TestDaemonEndsWithItsContext(t *testing.T) {
	spec, log := script(t, "trap 'echo ended; exit 0' TERM; echo up; while :; do sleep 0.05; done")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- daemon.Run(ctx, spec) }()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if text, _ := os.ReadFile(log); string(text) == "up\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not up")
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("error is %v", err)
	}
	if text, _ := os.ReadFile(log); string(text) != "up\nended\n" {
		t.Errorf("log has %q", text)
	}
}
