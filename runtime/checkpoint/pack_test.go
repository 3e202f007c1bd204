package checkpoint_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metadata "github.com/checkpoint-restore/checkpointctl/lib"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/checkpoint"
)

func facts() checkpoint.Facts {
	return checkpoint.Facts{
		Runtime: "io.containerd.runc.v2", PID: 7, TakenAt: time.Unix(2, 0),
		Spec: &specs.Spec{Process: &specs.Process{Args: []string{"/bin/server"}}, Linux: &specs.Linux{}},
		Status: &runtimeapi.ContainerStatus{
			Id: "abc", Metadata: &runtimeapi.ContainerMetadata{Name: "counter"}, CreatedAt: 1,
			Image: &runtimeapi.ImageSpec{Image: "registry.test/server:1"}, ImageRef: "registry.test/server@sha256:00",
		},
	}
}

// TestPack: what is described and packed is read by checkpointctl's library
// and unpacked by us.
func TestPack(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), t.TempDir()
	if err := checkpoint.Describe(dir, facts()); err != nil {
		t.Fatal(err)
	}
	if c, _, err := metadata.ReadContainerCheckpointConfigDump(dir); err != nil || c.Name != "counter" || c.ID != "abc" ||
		c.RootfsImageRef != "registry.test/server@sha256:00" || c.OCIRuntime != "io.containerd.runc.v2" || !c.CheckpointedAt.Equal(time.Unix(2, 0)) {
		t.Errorf("config.dump: %+v, %v", c, err)
	}
	if s, _, err := metadata.ReadContainerCheckpointSpecDump(dir); err != nil || !slices.Equal(s.Process.Args, []string{"/bin/server"}) {
		t.Errorf("spec.dump: %v, %v", s, err)
	}
	if s, _, err := metadata.ReadContainerCheckpointStatusFile(dir); err != nil || s.CreatedAt != 1 || s.Pid != 7 {
		t.Errorf("status: %+v, %v", s, err)
	}
	write(t, filepath.Join(dir, "checkpoint", "inventory.img"), "inventory")
	if err := os.Symlink("/etc", filepath.Join(dir, "checkpoint", "parent")); err != nil {
		t.Fatal(err)
	}
	location := filepath.Join(out, "c.tar")
	write(t, location, "an older one")
	if err := checkpoint.Pack(t.Context(), dir, location, checkpoint.Partial(location)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(location); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 1 {
		t.Errorf("there is %v, %v", left, err)
	}
	archive := tar.NewReader(bytes.NewReader([]byte(read(t, location))))
	if header, err := archive.Next(); err != nil || header.Name != "config.dump" {
		t.Errorf("the first entry is %v, %v", header, err)
	}
	source, err := checkpoint.Open(location)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.Unpack(t.Context(), source, filepath.Join(t.TempDir(), "again")); err != nil {
		t.Error(err)
	}
}

func TestPackFails(t *testing.T) {
	t.Parallel()
	dir, out := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "checkpoint", "inventory.img"), "inventory")
	location := filepath.Join(out, "c.tar")
	write(t, location, "an older one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := checkpoint.Pack(ctx, dir, location, checkpoint.Partial(location)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 1 || read(t, location) != "an older one" {
		t.Errorf("there is %v, %v", left, err)
	}
	// A directory at the location cannot be replaced.
	if err := checkpoint.Pack(t.Context(), dir, dir, checkpoint.Partial(dir)); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*partial")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestCopyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "log"), "line")
	if err := os.Symlink("log", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log", "link", "none"} {
		if err := checkpoint.CopyFile(filepath.Join(dir, name), filepath.Join(dir, name+".copy")); err != nil {
			t.Error(err)
		}
	}
	if copies, _ := filepath.Glob(filepath.Join(dir, "*.copy")); len(copies) != 1 || read(t, copies[0]) != "line" {
		t.Errorf("copies: %v", copies)
	}
}

func TestIsImage(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"org.criu.checkpoint.container.name":              true,
		"io.kubernetes.cri-o.annotations.checkpoint.name": true,
		"io.podman.annotations.checkpoint.name":           true,
		"org.opencontainers.image.title":                  false,
	} {
		if got := checkpoint.IsImage(map[string]string{key: "counter"}); got != want {
			t.Errorf("%s: %t", key, got)
		}
	}
}

func TestPod(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := checkpoint.ReadPod(dir); !errdefs.IsNotFound(err) {
		t.Errorf("an empty directory: %v", err)
	}
	p := checkpoint.PodOf("p1", &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{Name: "web"}}, "runc")
	p.Containers["a/b"] = "abc"
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	found, err := checkpoint.ReadPod(dir)
	if err != nil || found.Containers["a/b"] != "abc" {
		t.Errorf("got %+v, %v", found, err)
	}
	if options, _, err := metadata.ReadCheckpointPodOptions(dir); err != nil || options.Annotations["org.criu.checkpoint.pod.name"] != "web" {
		t.Errorf("checkpointctl reads %+v, %v", options, err)
	}
	for text, says := range map[string]string{
		`{`:             "parse",
		`{"version":2}`: "version 2",
		`{"version":1}`: "names no container",
		`{"version":1,"containers":{"a":"../x"}}`:                                                    "id of container a",
		`{"version":1,"containers":{"a":"b"},"annotations":{"org.criu.checkpoint.host.arch":"vax"}}`: "vax",
	} {
		if _, err := checkpoint.ParsePod([]byte(text)); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", text, err, says)
		}
	}
	if err := os.Remove(filepath.Join(dir, "pod.options")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "pod.options")); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.ReadPod(dir); err == nil {
		t.Error("a link was followed")
	}
}

func TestHostname(t *testing.T) {
	t.Parallel()
	image := append([]byte{0x19, 0x43, 0x56, 0x54, 0x03, 0x32, 0x47, 0x54, 13, 0, 0, 0}, "\x0a\x03old\x12\x06(none)"...)
	got, err := checkpoint.Renamed(image, "another")
	want := append([]byte{0x19, 0x43, 0x56, 0x54, 0x03, 0x32, 0x47, 0x54, 17, 0, 0, 0}, "\x0a\x07another\x12\x06(none)"...)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range [][]byte{nil, image[:11], image[:20], append([]byte("x"), image[1:]...)} {
		if _, err := checkpoint.Renamed(bad, "another"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "journal")
	journal, err := checkpoint.NewJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	partial := filepath.Join(t.TempDir(), "partial")
	write(t, filepath.Join(partial, "file"), "x")
	if _, err := journal.Begin(checkpoint.Entry{Containers: []string{"a"}, Remove: []string{partial}}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "half.json.new"), "{")
	write(t, filepath.Join(dir, "broken.json"), "{")
	left, err := journal.Left()
	if err != nil || len(left) != 1 || !slices.Equal(left[0].Containers, []string{"a"}) {
		t.Fatalf("left: %+v, %v", left, err)
	}
	if err := left[0].Clear(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(partial); err == nil {
		t.Error("what was incomplete is there")
	}
	if err := journal.End(left[0]); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("notes: %v, %v", files, err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	broken := fmt.Errorf("criu failed: %w", errdefs.ErrUnknown)
	for name, test := range map[string]struct {
		log, want string
		refused   bool
	}{
		"nothing": {"(00.01) fine\n", "criu failed", false},
		"another": {"(00.02) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self\n(00.03) Error (criu/mem.c:1): no memory\n", "CRIU: no memory: criu failed", false},
		"tcp":     {"(00.03) Error (criu/sk-inet.c:1): inet: Connected TCP socket, consider\n", "it has an established TCP connection", true},
		"lock":    {"(00.03) Error (criu/file-lock.c:1): Some file locks are hold by dumping tasks!\n", "it holds a file lock", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := filepath.Join(t.TempDir(), "dump.log")
			write(t, log, test.log)
			got := checkpoint.Explain(broken, log)
			if errors.Is(errdefs.Resolve(got), errdefs.ErrFailedPrecondition) != test.refused || !strings.HasPrefix(got.Error(), test.want) || !strings.Contains(got.Error(), broken.Error()) {
				t.Errorf("got %v", got)
			}
		})
	}
	if got := checkpoint.Explain(broken, "/no/such"); got.Error() != broken.Error() {
		t.Errorf("got %v", got)
	}
}
