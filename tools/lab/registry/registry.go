// Package registry serves the lab's images on loopback.
//
// An image registry.example/a/b:tag is served as the repository
// registry.example/a/b, so images of several registries never meet. What tests
// push goes to the lab's own directory; the cached images are only read.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	oci "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/trivet-cri/trivet/tools/lab/image"
)

// Registry is a registry that listens and, once Serve runs, answers.
type Registry struct {
	// Address is host:port.
	Address  string
	listener net.Listener
	server   *http.Server
}

// Open loads the OCI image layout in images and listens on a free port of
// loopback. dir is made and becomes the store.
func Open(images, dir string) (*Registry, error) {
	if err := borrowBlobs(filepath.Join(images, "blobs"), dir); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	handler := oci.New(oci.Logger(log.New(io.Discard, "", 0)), oci.WithBlobHandler(oci.NewDiskBlobHandler(dir)))
	if err := load(handler, layout.Path(images)); err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return &Registry{
		Address: listener.Addr().String(), listener: listener,
		server: &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second},
	}, nil
}

// Serve answers until ctx ends. Connections that are open then are closed.
func (r *Registry) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = r.server.Close() })
	defer stop()
	if err := r.server.Serve(r.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve registry: %w", err)
	}
	return nil
}

// Close frees the port. It is for a registry that is not served.
func (r *Registry) Close() error { return r.listener.Close() }

// borrowBlobs links the blobs of an OCI layout into dir, which has the same
// structure.
func borrowBlobs(blobs, dir string) error {
	files, err := filepath.Glob(filepath.Join(blobs, "*", "*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		link := filepath.Join(dir, filepath.Base(filepath.Dir(file)), filepath.Base(file))
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			return err
		}
		if err := os.Symlink(file, link); err != nil {
			return err
		}
	}
	return nil
}

// load puts the manifests of all images into the registry, whose interface
// for that is HTTP.
func load(handler http.Handler, images layout.Path) error {
	index, err := images.ImageIndex()
	if err != nil {
		return fmt.Errorf("read images: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("read images: %w", err)
	}
	for _, descriptor := range manifest.Manifests {
		if err := put(handler, images, descriptor); err != nil {
			return fmt.Errorf("load image %s: %w", descriptor.Annotations[image.NameAnnotation], err)
		}
	}
	return nil
}

func put(handler http.Handler, images layout.Path, descriptor v1.Descriptor) error {
	tag, err := name.NewTag(descriptor.Annotations[image.NameAnnotation], name.StrictValidation)
	if err != nil {
		return err
	}
	manifest, err := images.Bytes(descriptor.Digest)
	if err != nil {
		return err
	}
	url := "/v2/" + Repository(tag.Context()) + "/manifests/" + tag.TagStr()
	request := httptest.NewRequest(http.MethodPut, url, strings.NewReader(string(manifest)))
	request.Header.Set("Content-Type", string(descriptor.MediaType))
	reply := httptest.NewRecorder()
	handler.ServeHTTP(reply, request)
	if reply.Code != http.StatusCreated {
		return fmt.Errorf("registry says %d: %s", reply.Code, reply.Body)
	}
	return nil
}

// Repository is the path under which the registry serves a repository.
func Repository(repository name.Repository) string {
	host := repository.RegistryStr()
	if host == name.DefaultRegistry { // as containerd calls it
		host = "docker.io"
	}
	return host + "/" + repository.RepositoryStr()
}
