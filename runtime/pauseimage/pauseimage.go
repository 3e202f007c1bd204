// Package pauseimage makes the image of the pause container: the process that
// holds a PID namespace which the containers of a pod share, and reaps their
// orphans.
//
// The program is a static ELF executable of a few hundred bytes that this
// package assembles itself, so a node needs no registry and no build for it.
// It is all of the image. The same version makes the same bytes everywhere,
// and thus the same digests, which a test pins.
package pauseimage

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// path of the program in the image.
const path = "/pause"

// user is nobody in particular: holding a namespace takes no rights.
const user = "65535:65535"

// Blob is content and what describes it.
type Blob struct {
	Descriptor ocispec.Descriptor
	Bytes      []byte
}

// Built is an OCI image of one platform. The manifest's descriptor is that of
// the image, with its platform.
type Built struct{ Manifest, Config, Layer Blob }

// Image makes the image for an architecture of GOARCH's names. One for which
// there is no program is ErrNotImplemented.
func Image(arch string) (Built, error) {
	program, err := Program(arch)
	if err != nil {
		return Built{}, fmt.Errorf("make pause image: %w", err)
	}
	layer, err := layerOf(program)
	if err != nil {
		return Built{}, fmt.Errorf("make pause image: %w", err)
	}
	epoch := time.Unix(0, 0).UTC() // a time of its own would change the digest
	platform := ocispec.Platform{Architecture: arch, OS: "linux"}
	config, err := document(ocispec.MediaTypeImageConfig, ocispec.Image{
		Created:  &epoch,
		Platform: platform,
		Config:   ocispec.ImageConfig{User: user, Entrypoint: []string{path}, WorkingDir: "/"},
		// The layer is not compressed, so its digest is that of its content.
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Descriptor.Digest}},
		History: []ocispec.History{{Created: &epoch, CreatedBy: "trivet", Comment: "the pause program"}},
	})
	if err != nil {
		return Built{}, fmt.Errorf("make pause image: %w", err)
	}
	manifest, err := document(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config.Descriptor,
		Layers:    []ocispec.Descriptor{layer.Descriptor},
	})
	if err != nil {
		return Built{}, fmt.Errorf("make pause image: %w", err)
	}
	manifest.Descriptor.Platform = &platform
	return Built{Manifest: manifest, Config: config, Layer: layer}, nil
}

// Program makes the executable alone. Errors are as of Image.
//
// As the first process of a PID namespace it reaps all orphans, exits with 0
// on SIGINT or SIGTERM and does nothing else. It exits with 1 if the kernel
// does not let it wait for signals.
func Program(arch string) ([]byte, error) {
	switch arch {
	case "amd64":
		return link(amd64ELF, &amd64{}), nil
	case "arm64":
		return link(arm64ELF, &arm64{}), nil
	}
	return nil, fmt.Errorf("no pause program for architecture %q: %w", arch, errdefs.ErrNotImplemented)
}

// layerOf is a tar archive with the program. Compression would save little
// and make the digest depend on the compressor.
func layerOf(program []byte) (Blob, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: path[1:], Mode: 0o755, Size: int64(len(program)),
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	}
	if err := writer.WriteHeader(header); err != nil {
		return Blob{}, err
	}
	if _, err := writer.Write(program); err != nil {
		return Blob{}, err
	}
	if err := writer.Close(); err != nil {
		return Blob{}, err
	}
	return blob(ocispec.MediaTypeImageLayer, archive.Bytes()), nil
}

func document(mediaType string, content any) (Blob, error) {
	text, err := json.Marshal(content)
	if err != nil {
		return Blob{}, err
	}
	return blob(mediaType, text), nil
}

func blob(mediaType string, content []byte) Blob {
	return Blob{
		Descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))},
		Bytes:      content,
	}
}
