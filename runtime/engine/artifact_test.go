package engine_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/engine"
)

// shelf is a registry with manifests by tag and digest, and blobs by digest.
type shelf struct {
	manifests map[string]typed
	blobs     map[string][]byte
}

type typed struct {
	kind string
	text []byte
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if m, ok := s.manifests[what]; ok && strings.Contains(r.URL.Path, "/manifests/") {
		w.Header().Set("Content-Type", m.kind)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(m.text).String())
		_, _ = w.Write(m.text)
		return
	}
	if blob, ok := s.blobs[what]; ok && strings.Contains(r.URL.Path, "/blobs/") {
		_, _ = w.Write(blob)
		return
	}
	http.NotFound(w, r)
}

// put makes an artifact of a blob, with a size and a content of its own.
func (s *shelf) put(t *testing.T, tag string, kind string, content any) ocispec.Descriptor {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	id := digest.FromBytes(text)
	s.manifests[tag], s.manifests[id.String()] = typed{kind, text}, typed{kind, text}
	return ocispec.Descriptor{MediaType: kind, Digest: id, Size: int64(len(text))}
}

func layer(blob []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/json", Digest: digest.FromBytes(blob), Size: int64(len(blob))}
}

func TestFetchArtifact(t *testing.T) {
	t.Parallel()
	good, long, liar := []byte(`{"defaultAction":"SCMP_ACT_LOG"}`), []byte(strings.Repeat("x", 65)), []byte(`{"defaultAction":"SCMP_ACT_ALL"}`)
	s := &shelf{manifests: make(map[string]typed), blobs: make(map[string][]byte)}
	for _, blob := range [][]byte{good, long} {
		s.blobs[digest.FromBytes(blob).String()] = blob
	}
	s.blobs[digest.FromBytes(liar).String()] = good
	manifest := func(layers ...ocispec.Descriptor) ocispec.Manifest {
		return ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: layers}
	}
	one := s.put(t, "good", ocispec.MediaTypeImageManifest, manifest(layer(good), layer(long)))
	s.put(t, "long", ocispec.MediaTypeImageManifest, manifest(layer(long)))
	s.put(t, "liar", ocispec.MediaTypeImageManifest, manifest(layer(liar)))
	s.put(t, "empty", ocispec.MediaTypeImageManifest, manifest())
	s.put(t, "missing", ocispec.MediaTypeImageManifest, manifest(layer([]byte("not there"))))
	other := one
	other.Platform = &ocispec.Platform{OS: "plan9", Architecture: "mips"}
	index := s.put(t, "index", ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{other, one}})
	s.put(t, "foreign", ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{other}})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	for tag, c := range map[string]struct {
		id   digest.Digest
		kind error
	}{
		"good": {one.Digest, nil}, "index": {index.Digest, nil}, "long": {"", errdefs.ErrInvalidArgument}, "liar": {"", errdefs.ErrDataLoss},
		"empty": {"", errdefs.ErrInvalidArgument}, "missing": {"", errdefs.ErrNotFound}, "foreign": {"", errdefs.ErrNotFound}, "none": {"", errdefs.ErrNotFound},
	} {
		blob, id, err := new(engine.Engine).FetchArtifact(t.Context(), host+"/profiles/all:"+tag, "", 64)
		if c.kind == nil && (err != nil || string(blob) != string(good) || id != c.id) {
			t.Errorf("%s: %q, %s, %v", tag, blob, id, err)
		}
		if c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%s: %q, %v, want %v", tag, blob, err, c.kind)
		}
	}
}
