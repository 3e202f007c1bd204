package image_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/image"
)

func TestHostDir(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const hosts = "server = \"https://mirror.example\"\n"
	write("one/quay.io/hosts.toml", hosts)
	write("one/bad.example/hosts.toml", "server = \"x\"\n[host.\n")
	write("two/quay.io/hosts.toml", hosts)
	write("two/localhost_5000_/ca.crt", "certificates only")
	write("two/other.example:8443/hosts.toml", hosts)
	write("three/_default/hosts.toml", hosts)
	one, two, three := filepath.Join(root, "one"), filepath.Join(root, "two"), filepath.Join(root, "three")
	both := one + ":" + two
	for _, c := range []struct{ path, host, want string }{
		{"", "quay.io", ""},
		{"/nonexistent", "quay.io", ""},
		{both, "quay.io", one},
		{two + ":" + one, "quay.io", two},
		{both, "localhost:5000", two},
		{both, "other.example:8443", two},
		{both, "docker.io", ""},
		{both + ":" + three, "docker.io", three},
		{three + ":" + both, "quay.io", three},
	} {
		if got, err := image.HostDir(c.path, c.host); err != nil || got != c.want {
			t.Errorf("%q in %q: %q, %v; want %q", c.host, c.path, got, err, c.want)
		}
	}
	_, err := image.HostDir(both, "bad.example")
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "hosts.toml:2:") {
		t.Errorf("a file that does not parse: %v", err)
	}
}
