package checkpoint_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/checkpoint"
)

func TestUnpack(t *testing.T) {
	t.Parallel()
	packed := whole()
	packed[4].content = string(compressed([]byte(packed[4].content)))
	for name, data := range map[string][]byte{
		"plain": pack(whole()), "compressed": compressed(pack(whole())), "with a compressed diff": pack(packed),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "unpacked")
			if err := checkpoint.Unpack(t.Context(), save(t, data), dir); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if got := read(t, filepath.Join(dir, "checkpoint", "inventory.img")); got != "inventory" {
				t.Errorf("inventory is %q", got)
			}
			if got := read(t, filepath.Join(dir, "rootfs-diff.tar")); got != whole()[4].content {
				t.Errorf("the diff has %d bytes", len(got))
			}
			if _, err := os.Stat(filepath.Join(dir, "container.log")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the log is there: %v", err)
			}
			m, err := checkpoint.ReadMetadata(dir)
			if err != nil || m.Config.Name != "counter" || !slices.Equal(m.Spec.Process.Args, []string{"/bin/server"}) {
				t.Errorf("metadata %+v, %v", m, err)
			}
			if deleted, err := checkpoint.ReadDeleted(dir); err != nil || !slices.Equal(deleted, []string{"/etc/group"}) {
				t.Errorf("deleted %q, %v", deleted, err)
			}
		})
	}
}

// TestUnpackRefuses: archives of strangers lead nowhere, and nothing of them
// is left.
func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	with := func(more ...entry) []byte { return pack(append(whole(), more...)) }
	without := func(name string) []byte {
		return pack(slices.DeleteFunc(whole(), func(e entry) bool { return e.name == name }))
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"traversal":             {with(entry{name: "../config.dump", content: "x"}), "leads out"},
		"traversal in images":   {with(entry{name: "checkpoint/../../x", content: "x"}), "leads out"},
		"absolute":              {with(entry{name: "/etc/passwd", content: "x"}), "leads out"},
		"link in the images":    {with(entry{name: "checkpoint/pages-1.img", content: "/etc/shadow", kind: tar.TypeSymlink}), "not a plain file"},
		"hard link":             {with(entry{name: "status.dump", content: "config.dump", kind: tar.TypeLink}), "not a plain file"},
		"device":                {with(entry{name: "checkpoint/mem", kind: tar.TypeChar}), "not a plain file"},
		"images are a link":     {pack([]entry{{name: "checkpoint", content: "/tmp", kind: tar.TypeSymlink}}), "has no config.dump"},
		"twice":                 {with(entry{name: "spec.dump", content: "{}"}), "twice"},
		"large document":        {with(entry{name: "status.dump", content: strings.Repeat("x", 17<<20)}), "more than the"},
		"no configuration":      {without("config.dump"), "no config.dump"},
		"no spec":               {without("spec.dump"), "no spec.dump"},
		"no images":             {without("./checkpoint/inventory.img"), "inventory.img"},
		"no archive":            {[]byte(strings.Repeat("no archive", 200)), "not an archive"},
		"cut short":             {pack(whole())[:3000], "not an archive, or damaged"},
		"diff is no archive":    {with2("rootfs-diff.tar", strings.Repeat("x", 2000)), "not an archive, or damaged"},
		"diff says too much":    {with2("rootfs-diff.tar", string(sparse())), "more than the"},
		"compressed, cut short": {compressed(pack(whole()))[:100], "not an archive, or damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			err := checkpoint.Unpack(t.Context(), save(t, c.data), filepath.Join(parent, "unpacked"))
			if err == nil || !strings.Contains(err.Error(), c.says) || !errdefs.IsInvalidArgument(err) && !errdefs.IsResourceExhausted(err) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// with2 is a whole archive with other content in one entry.
func with2(name, content string) []byte {
	entries := whole()
	for i := range entries {
		if entries[i].name == name {
			entries[i].content = content
		}
	}
	return pack(entries)
}

// sparse is an archive with a header of a file larger than any disk.
func sparse() []byte {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	_ = archive.WriteHeader(&tar.Header{Name: "huge", Size: 1 << 60, Mode: 0o600}) // to memory
	return out.Bytes()
}

func TestUnpackEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	parent := t.TempDir()
	err := checkpoint.Unpack(ctx, save(t, pack(whole())), filepath.Join(parent, "unpacked"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestUnpackDirectory: a directory, such as a mounted image, is read by name;
// links in it are refused.
func TestUnpackDirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(dir string) error
		says  string
	}{
		"whole": {func(string) error { return nil }, ""},
		"link":  {func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "status.dump")) }, "not a plain file"},
		"fifo": {func(dir string) error {
			return unix.Mkfifo(filepath.Join(dir, "checkpoint", "pages-1.img"), 0o600)
		}, "not a plain file"},
		"images are a link out": {func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "checkpoint")), os.Symlink("/etc", filepath.Join(dir, "checkpoint")))
		}, "escapes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), filepath.Join(t.TempDir(), "unpacked")
			for _, e := range whole() {
				if e.kind == 0 {
					write(t, filepath.Join(from, e.name), e.content)
				}
			}
			if err := c.spoil(from); err != nil {
				t.Fatal(err)
			}
			source, err := checkpoint.Open(from)
			if err != nil {
				t.Fatal(err)
			}
			err = checkpoint.Unpack(t.Context(), source, to)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	if _, err := checkpoint.Open("/dev/null"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a device: %v", err)
	}
	if _, err := checkpoint.Open("/no/such"); !errdefs.IsNotFound(err) {
		t.Errorf("nothing: %v", err)
	}
}

func TestReadMetadataRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ config, spec, says string }{
		"no json":    {"{", "{}", "parse config.dump"},
		"no process": {`{"rootfsImageRef":"x"}`, `{"linux":{}}`, "no process"},
		"no linux":   {`{"rootfsImageRef":"x"}`, `{"process":{"args":["x"]}}`, "Linux"},
		"no image":   {`{}`, `{"process":{"args":["x"]},"linux":{}}`, "names no image"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "config.dump"), c.config)
			write(t, filepath.Join(dir, "spec.dump"), c.spec)
			if _, err := checkpoint.ReadMetadata(dir); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// FuzzUnpack: whatever an archive says, only plain files with known names
// come out, or an error and nothing.
func FuzzUnpack(f *testing.F) {
	f.Add(pack(whole()))
	f.Add(compressed(pack(whole())))
	f.Add(pack([]entry{{name: "../x", content: "x"}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "unpacked")
		err := checkpoint.Unpack(t.Context(), save(t, data), dir)
		if left, _ := os.ReadDir(parent); err != nil && len(left) > 0 {
			t.Fatalf("left: %v", left)
		}
		if err != nil {
			return
		}
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
				t.Errorf("%s: %v, %v", path, entry.Type(), err)
			}
			return nil
		})
		_, _ = checkpoint.ReadMetadata(dir)
		_, _ = checkpoint.ReadDeleted(dir)
		_ = checkpoint.SetHostname(dir, "other")
	})
}
