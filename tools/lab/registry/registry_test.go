package registry_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/pelletier/go-toml/v2"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/tools/lab/image"
	"github.com/trivet-cri/trivet/tools/lab/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a registry with one image under two names.
func serve(t *testing.T) (address, digest string) {
	t.Helper()
	picture, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(t.TempDir(), "images")
	all := []image.Named{{Names: []string{"docker.io/library/one:1", "gcr.io/some/two:2"}, Image: picture}}
	if err := image.Write(images, all); err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(images, filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	hash, err := picture.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return r.Address, hash.String()
}

func TestServesImagesUnderTheirNames(t *testing.T) {
	address, digest := serve(t)
	for _, path := range []string{"docker.io/library/one:1", "gcr.io/some/two:2", "gcr.io/some/two@" + digest} {
		ref, err := name.ParseReference(address+"/"+path, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remote.Image(ref)
		if err != nil {
			t.Errorf("pull %s: %v", path, err)
			continue
		}
		layers, err := got.Layers()
		if err != nil || len(layers) != 2 {
			t.Fatalf("%s has %d layers: %v", path, len(layers), err)
		}
		content, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		_ = content.Close()
	}
	missing, _ := name.ParseReference(address+"/gcr.io/some/two:3", name.Insecure)
	if _, err := remote.Image(missing); err == nil {
		t.Error("an image that is not there was pulled")
	}
}

func TestTakesWhatTestsPush(t *testing.T) {
	address, _ := serve(t)
	picture, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(address+"/registry.k8s.io/pushed:1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, picture); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Image(ref); err != nil {
		t.Error(err)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	var hosts struct {
		Server       string   `toml:"server"`
		Capabilities []string `toml:"capabilities"`
		OverridePath bool     `toml:"override_path"`
	}
	if err := toml.Unmarshal([]byte(registry.Hosts("gcr.io", "127.0.0.1:5000")), &hosts); err != nil {
		t.Fatal(err)
	}
	if hosts.Server != "http://127.0.0.1:5000/v2/gcr.io" || !hosts.OverridePath || len(hosts.Capabilities) != 2 {
		t.Errorf("hosts.toml is %+v", hosts)
	}
}

func TestEveryUpstreamHasHosts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := registry.WriteHosts(dir, "127.0.0.1:5000"); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "hosts.toml"))
	if len(files) != len(registry.Upstreams) {
		t.Errorf("%d of %d upstreams have a hosts.toml", len(files), len(registry.Upstreams))
	}
}
