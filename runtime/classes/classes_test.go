package classes_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/classes"
)

// The tests of this package share goresctrl's state, so they run one by one.

const (
	rdtPod     = "rdt.resources.beta.kubernetes.io/pod"
	rdtOf      = "rdt.resources.beta.kubernetes.io/container."
	blockIOPod = "blockio.resources.beta.kubernetes.io/pod"
	blockIOOf  = "blockio.resources.beta.kubernetes.io/container."
)

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "classes.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, cfg config.Runtime) *classes.Classes {
	t.Helper()
	c, err := classes.Load(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused fails the test unless err is of the kind and says all parts.
func refused(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}

// disk makes a node of a block device that no driver is behind.
func disk(t *testing.T, dir, name string, minor uint32) {
	t.Helper()
	if err := unix.Mknod(filepath.Join(dir, name), unix.S_IFBLK|0o600, int(unix.Mkdev(240, minor))); err != nil {
		t.Fatalf("make device node: %v", err)
	}
}

func TestBlockIO(t *testing.T) {
	dir := t.TempDir()
	disk(t, dir, "disk0", 16)
	disk(t, dir, "disk1", 32)
	c := load(t, config.Runtime{BlockIOConfigFile: file(t, fmt.Sprintf(`
Classes:
  slow:
  - Weight: 80
  - Devices: [%q]
    ThrottleReadBps: 50M
    ThrottleWriteIOPS: 5k
  fast:
  - Weight: 400
`, dir+"/disk*"))})
	got, err := c.BlockIO("app", nil, map[string]string{blockIOPod: "fast", blockIOOf + "app": "slow"})
	if err != nil {
		t.Fatal(err)
	}
	if *got.Weight != 80 || len(got.ThrottleReadBpsDevice) != 2 || len(got.ThrottleWriteIOPSDevice) != 2 {
		t.Fatalf("class slow is %+v", got)
	}
	for i, d := range got.ThrottleReadBpsDevice {
		if d.Major != 240 || d.Minor != 16 && d.Minor != 32 || d.Rate != 50_000_000 || got.ThrottleWriteIOPSDevice[i].Rate != 5000 {
			t.Errorf("throttle %+v", d)
		}
	}
	if got, err = c.BlockIO("other", nil, map[string]string{blockIOPod: "fast", blockIOOf + "app": "slow"}); err != nil || *got.Weight != 400 {
		t.Errorf("class of the pod: %+v, %v", got, err)
	}
	own := map[string]string{"io.kubernetes.cri.blockio-class": "fast"}
	if got, err = c.BlockIO("app", own, map[string]string{blockIOOf + "app": "slow"}); err != nil || *got.Weight != 400 {
		t.Errorf("class of the container itself: %+v, %v", got, err)
	}
	if got, err = c.NamedBlockIO("slow"); err != nil || *got.Weight != 80 {
		t.Errorf("class that is named: %+v, %v", got, err)
	}
	_, err = c.NamedBlockIO("none")
	refused(t, err, errdefs.ErrInvalidArgument, "block I/O class", `"none"`)
	if got, err = c.BlockIO("app", nil, nil); err != nil || got != nil {
		t.Errorf("none: %+v, %v", got, err)
	}
	_, err = c.BlockIO("app", nil, map[string]string{blockIOOf + "app": "none"})
	refused(t, err, errdefs.ErrInvalidArgument, `sandbox_config.annotations["`+blockIOOf+`app"]`, `"none"`)
}

func TestOff(t *testing.T) {
	c := load(t, config.Runtime{})
	_, err := c.RDT("app", nil, map[string]string{rdtPod: "gold"})
	refused(t, err, errdefs.ErrFailedPrecondition, `sandbox_config.annotations["`+rdtPod+`"]`, `"gold"`, "runtime.rdt_config_file is not set")
	_, err = c.BlockIO("app", map[string]string{"io.kubernetes.cri.blockio-class": "slow"}, nil)
	refused(t, err, errdefs.ErrFailedPrecondition, `annotations["io.kubernetes.cri.blockio-class"]`, `"slow"`, "runtime.blockio_config_file is not set")
	_, err = c.NamedRDT("gold")
	refused(t, err, errdefs.ErrFailedPrecondition, "RDT class", `"gold"`, "runtime.rdt_config_file is not set")
	_, err = c.NamedBlockIO("slow")
	refused(t, err, errdefs.ErrFailedPrecondition, "block I/O class", `"slow"`, "runtime.blockio_config_file is not set")
	c = load(t, config.Runtime{IgnoreRDTNotEnabled: true, IgnoreBlockIONotEnabled: true})
	if class, err := c.RDT("app", nil, map[string]string{rdtPod: "gold"}); class != "" || err != nil {
		t.Errorf("ignored RDT class: %q, %v", class, err)
	}
	if settings, err := c.BlockIO("app", nil, map[string]string{blockIOPod: "slow"}); settings != nil || err != nil {
		t.Errorf("ignored block I/O class: %v, %v", settings, err)
	}
}

func TestBadFiles(t *testing.T) {
	broken, typo := file(t, "{"), file(t, "Clases: {}\n")
	for name, test := range map[string]struct {
		cfg  config.Runtime
		says []string
	}{
		"no RDT file":        {config.Runtime{RDTConfigFile: "/nowhere"}, []string{"runtime.rdt_config_file", "/nowhere"}},
		"broken RDT file":    {config.Runtime{RDTConfigFile: broken}, []string{"runtime.rdt_config_file", broken}},
		"RDT typo":           {config.Runtime{RDTConfigFile: typo}, []string{"runtime.rdt_config_file", "Clases"}},
		"no blockio file":    {config.Runtime{BlockIOConfigFile: "/nowhere"}, []string{"runtime.blockio_config_file", "/nowhere"}},
		"broken blockio":     {config.Runtime{BlockIOConfigFile: broken}, []string{"runtime.blockio_config_file", broken}},
		"blockio typo":       {config.Runtime{BlockIOConfigFile: typo}, []string{"runtime.blockio_config_file", "Clases"}},
		"blockio bad weight": {config.Runtime{BlockIOConfigFile: file(t, "Classes:\n  a:\n  - Weight: 5000\n")}, []string{"runtime.blockio_config_file", "Weight", "5000"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := classes.Load(test.cfg, slog.New(slog.DiscardHandler))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not say %q", err, part)
				}
			}
		})
	}
}

// inside says that a test is the process in a mount namespace of its own.
const inside = "TRIVET_TEST_RESCTRL"

// rdtClasses are two classes that pods may use and one that they may not.
const rdtClasses = `
options: {l3: {optional: true}, mb: {optional: true}}
partitions:
  all:
    l3Allocation: 100%
    classes:
      gold: {l3Allocation: 50%}
      system/default: {l3Allocation: 100%}
      private: {l3Allocation: 20%, kubernetes: {denyPodAnnotation: true}}
`

// TestRDT looks like a machine with RDT to itself: in a mount namespace, a
// directory is its resctrl file system.
func TestRDT(t *testing.T) {
	if os.Getenv(inside) == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestRDT$", "-test.v")
		child.Env = append(os.Environ(), inside+"=1")
		child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestRDT")) {
			t.Fatalf("in a mount namespace: %v\n%s", err, out)
		}
		return
	}
	root := resctrl(t)
	c := load(t, config.Runtime{RDTConfigFile: file(t, rdtClasses)})
	if schemata, err := os.ReadFile(filepath.Join(root, "gold", "schemata")); err != nil || !strings.Contains(string(schemata), "L3:0=3ff") {
		t.Errorf("group of class gold: %q, %v", schemata, err)
	}
	pods := map[string]string{rdtPod: "system/default", rdtOf + "app": "gold"}
	for container, want := range map[string]string{"app": "gold", "other": "/"} {
		if got, err := c.RDT(container, nil, pods); got != want || err != nil {
			t.Errorf("class of %s: %q, %v, want %q", container, got, err, want)
		}
	}
	if got, err := c.RDT("app", map[string]string{"io.kubernetes.cri.rdt-class": "private"}, pods); got != "private" || err != nil {
		t.Errorf("class of the container itself: %q, %v", got, err)
	}
	for class, want := range map[string]string{"gold": "gold", "private": "private", "system/default": "/", "": ""} {
		if got, err := c.NamedRDT(class); got != want || err != nil {
			t.Errorf("class %q that is named: %q, %v", class, got, err)
		}
	}
	for _, class := range []string{"none", "../gold"} {
		_, err := c.NamedRDT(class)
		refused(t, err, errdefs.ErrInvalidArgument, "RDT class", class)
	}
	for _, class := range []string{"private", "none", "../gold"} {
		_, err := c.RDT("app", nil, map[string]string{rdtPod: class})
		refused(t, err, errdefs.ErrInvalidArgument, `sandbox_config.annotations["`+rdtPod+`"]`, class)
	}
	_, err := classes.Load(config.Runtime{RDTConfigFile: file(t, "partitions:\n  a:\n    l3Allocation: 500%\n")}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "runtime.rdt_config_file") {
		t.Errorf("impossible allocation: %v", err)
	}
}

// resctrl makes this process, in its mount namespace, see a machine with RDT.
func resctrl(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	files := map[string]string{
		"schemata": "L3:0=fffff\n", "tasks": "", "info/last_cmd_status": "ok\n",
		"info/L3/cbm_mask": "fffff\n", "info/L3/min_cbm_bits": "2\n", "info/L3/num_closids": "16\n", "info/L3/shareable_bits": "0\n",
	}
	// The kernel fills a new group; here nobody does.
	for _, group := range []string{"gold", "private"} {
		files[group+"/tasks"], files[group+"/schemata"] = "", ""
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mounts := file(t, "resctrl "+root+" resctrl rw 0 0\n")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(mounts, "/proc/self/mounts", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount("/proc/self/mounts", unix.MNT_DETACH) })
	return root
}

// TestNoRDT has a file of classes and a machine that cannot have them.
func TestNoRDT(t *testing.T) {
	if text, err := os.ReadFile("/proc/mounts"); err != nil || bytes.Contains(text, []byte(" resctrl ")) {
		t.Logf("not on this machine, it has RDT: %v", err)
		return
	}
	path := file(t, rdtClasses)
	_, err := load(t, config.Runtime{RDTConfigFile: path}).RDT("app", nil, map[string]string{rdtPod: "gold"})
	refused(t, err, errdefs.ErrFailedPrecondition, `"gold"`, "this machine has no RDT")
	class, err := load(t, config.Runtime{RDTConfigFile: path, IgnoreRDTNotEnabled: true}).RDT("app", nil, map[string]string{rdtPod: "gold"})
	if class != "" || err != nil {
		t.Errorf("ignored: %q, %v", class, err)
	}
}
