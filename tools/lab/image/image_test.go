package image_test

import (
	"archive/tar"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/trivet-cri/trivet/tools/lab/image"
)

func ingredients() image.Ingredients {
	in := image.Ingredients{
		Busybox:  image.Busybox{Program: []byte("busybox"), Applets: []string{"busybox", "ls", "sh", "httpd"}},
		Programs: make(map[string][]byte),
	}
	for _, name := range image.Programs {
		in.Programs[name] = []byte("the program " + name)
	}
	return in
}

func catalog(t *testing.T, in image.Ingredients) map[string]v1.Image {
	t.Helper()
	all, err := image.Catalog(in)
	if err != nil {
		t.Fatal(err)
	}
	images := make(map[string]v1.Image)
	for _, named := range all {
		for _, name := range named.Names {
			if images[name] != nil {
				t.Errorf("two images are called %s", name)
			}
			images[name] = named.Image
		}
	}
	return images
}

func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	if image == nil {
		t.Fatal("no such image")
	}
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestDigestsDependOnContentAlone(t *testing.T) {
	t.Parallel()
	first, second := catalog(t, ingredients()), catalog(t, ingredients())
	if len(first) < 30 {
		t.Fatalf("only %d names", len(first))
	}
	for name, image := range first {
		if got, want := digest(t, second[name]), digest(t, image); got != want {
			t.Errorf("%s is %s the second time and %s the first", name, got, want)
		}
	}
	changed := ingredients()
	changed.Busybox.Program = []byte("another busybox")
	const busybox, pause = "registry.k8s.io/e2e-test-images/busybox:1.29-2", "registry.k8s.io/pause:3.10"
	other := catalog(t, changed)
	if digest(t, other[busybox]) == digest(t, first[busybox]) {
		t.Error("another busybox gives the same image")
	}
	if digest(t, other[pause]) != digest(t, first[pause]) {
		t.Error("the pause image depends on busybox")
	}
}

func TestImageThatCritestPullsByDigest(t *testing.T) {
	t.Parallel()
	want, err := image.PulledByDigest()
	if err != nil {
		t.Fatal(err)
	}
	got := digest(t, catalog(t, ingredients())["gcr.io/k8s-staging-cri-tools/test-image-digest:latest"])
	if got != want {
		t.Errorf("the registry serves %s, critest asks for %s", got, want)
	}
}

func TestWhatTestsRelyOn(t *testing.T) {
	t.Parallel()
	images := catalog(t, ingredients())
	const staging, e2e = "gcr.io/k8s-staging-cri-tools/", "registry.k8s.io/e2e-test-images/"
	for name, want := range map[string]func(*v1.ConfigFile) bool{
		staging + "test-image-user-uid:latest":            func(c *v1.ConfigFile) bool { return c.Config.User == "1002" },
		staging + "test-image-user-username:latest":       func(c *v1.ConfigFile) bool { return c.Config.User == "www-data" },
		staging + "test-image-user-uid-group:latest":      func(c *v1.ConfigFile) bool { return c.Config.User == "1003:1004" },
		staging + "test-image-user-username-group:latest": func(c *v1.ConfigFile) bool { return c.Config.User == "www-data:1004" },
		staging + "test-image-predefined-group:latest":    func(c *v1.ConfigFile) bool { return c.Config.User == "1000" },
		e2e + "nginx:1.14-2":                              func(c *v1.ConfigFile) bool { return c.Config.StopSignal == "SIGQUIT" && c.Config.Cmd[0] == "nginx" },
		e2e + "busybox:1.29-2": func(c *v1.ConfigFile) bool {
			return c.Config.Cmd[0] == "sh" && strings.HasPrefix(c.Config.Env[0], "PATH=")
		},
		e2e + "nonewprivs:1.3":         func(c *v1.ConfigFile) bool { return c.Config.Entrypoint[0] == "/nnp" },
		"registry.k8s.io/pause:3.10.2": func(c *v1.ConfigFile) bool { return c.Config.Entrypoint[0] == "/pause" && c.OS == "linux" },
	} {
		if images[name] == nil {
			t.Errorf("no image %s", name)
			continue
		}
		config, err := images[name].ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if !want(config) {
			t.Errorf("configuration of %s: %+v", name, config.Config)
		}
	}
	sameTags := digest(t, images[staging+"test-image-tags:1"])
	for _, tag := range []string{"2", "3"} {
		if digest(t, images[staging+"test-image-tags:"+tag]) != sameTags {
			t.Errorf("tags 1 and %s are different images", tag)
		}
	}
	if digest(t, images["k8s.gcr.io/pause:3.9"]) != digest(t, images["registry.k8s.io/pause:3.9"]) {
		t.Error("two registries have different images pause:3.9")
	}
	if digest(t, images["registry.k8s.io/pause:3.9"]) == digest(t, images["registry.k8s.io/pause:3.10"]) {
		t.Error("two versions of pause are the same image")
	}
	distinct := make(map[string]string)
	for _, name := range []string{"test-image-1:latest", "test-image-2:latest", "test-image-3:latest", "test-image-latest:latest", "test-image-tag:test", "test-image-tag:all"} {
		d := digest(t, images[staging+name])
		if other, ok := distinct[d]; ok {
			t.Errorf("%s and %s are the same image", name, other)
		}
		distinct[d] = name
	}
}

// files reads the whole of an image, as a container sees it.
func files(t *testing.T, image v1.Image) map[string]*tar.Header {
	t.Helper()
	content := mutate.Extract(image)
	defer func() { _ = content.Close() }()
	found := make(map[string]*tar.Header)
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found[strings.Trim(header.Name, "/")] = header
	}
}

func TestFilesOfBusybox(t *testing.T) {
	t.Parallel()
	found := files(t, catalog(t, ingredients())["registry.k8s.io/e2e-test-images/busybox:1.29-2"])
	for name, want := range map[string]tar.Header{
		"bin/busybox": {Typeflag: tar.TypeReg, Mode: 0o755},
		"bin/ls":      {Typeflag: tar.TypeLink, Mode: 0o755, Linkname: "bin/busybox"},
		"bin/sh":      {Typeflag: tar.TypeLink, Mode: 0o755, Linkname: "bin/busybox"},
		"tmp":         {Typeflag: tar.TypeDir, Mode: 0o1777},
		"etc/passwd":  {Typeflag: tar.TypeReg, Mode: 0o644},
	} {
		got := found[name]
		if got == nil {
			t.Errorf("no file %s", name)
			continue
		}
		if got.Typeflag != want.Typeflag || got.Mode != want.Mode || got.Linkname != want.Linkname || got.Uid != 0 {
			t.Errorf("%s is %+v", name, got)
		}
	}
	nnp := files(t, catalog(t, ingredients())["registry.k8s.io/e2e-test-images/nonewprivs:1.3"])["nnp"]
	if nnp == nil || nnp.Mode != 0o4755 {
		t.Errorf("nnp is %+v, not set-user-id", nnp)
	}
}

func TestWriteKeepsNames(t *testing.T) {
	t.Parallel()
	all, err := image.Catalog(ingredients())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "layout")
	if err := image.Write(dir, all); err != nil {
		t.Fatal(err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	names := catalog(t, ingredients())
	for _, entry := range manifest.Manifests {
		name := entry.Annotations[image.NameAnnotation]
		if names[name] == nil || digest(t, names[name]) != entry.Digest.String() {
			t.Errorf("index has %q as %s", name, entry.Digest)
		}
		delete(names, name)
	}
	if len(names) > 0 {
		t.Errorf("index lacks %v", names)
	}
}
