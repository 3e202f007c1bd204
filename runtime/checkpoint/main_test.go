package checkpoint_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/runtime/checkpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is one of an archive.
type entry struct {
	name, content string
	kind          byte // a plain file if 0
}

// whole are the entries of an archive that can be restored.
func whole() []entry {
	return []entry{
		{name: "config.dump", content: `{"id":"x","name":"counter","rootfsImageRef":"registry.test/server@sha256:00","rootfsImageName":"registry.test/server:1"}`},
		{name: "spec.dump", content: `{"process":{"args":["/bin/server"],"cwd":"/"},"linux":{}}`},
		{name: "./checkpoint/", kind: tar.TypeDir},
		{name: "./checkpoint/inventory.img", content: "inventory"},
		{name: "rootfs-diff.tar", content: string(pack([]entry{{name: "changed", content: "new"}}))},
		{name: "deleted.files", content: `["/etc/group"]`},
		{name: "container.log", content: "is not needed"},
	}
}

func pack(entries []entry) []byte {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o600, Size: int64(len(e.content))}
		if e.kind == tar.TypeSymlink || e.kind == tar.TypeLink {
			header.Linkname, header.Size, e.content = e.content, 0, ""
		}
		if err := archive.WriteHeader(header); err != nil {
			panic(err)
		}
		if _, err := archive.Write([]byte(e.content)); err != nil {
			panic(err)
		}
	}
	if err := archive.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func compressed(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data) // to memory
	_ = w.Close()
	return out.Bytes()
}

// save writes an archive and opens it.
func save(t *testing.T, data []byte) checkpoint.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	write(t, path, string(data))
	source, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
