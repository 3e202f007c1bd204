package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// made is the time that everything in an image bears, so that the same content
// gives the same digest on every machine.
var made = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// File is one entry of a layer. The zero Kind is a regular file.
type File struct {
	Path    string // without a leading slash
	Kind    Kind
	Mode    int64 // permission bits, set-user-id (04000) included
	Target  string
	Content []byte
}

// Kind says what an entry is.
type Kind int

// The kinds of entries.
const (
	Regular Kind = iota
	Directory
	HardLink // to the entry Target, which sorts before or stands before it
	SymLink
)

// layer packs files, all owned by root. Directories come first, links last.
func layer(files []File) (v1.Layer, error) {
	sorted := slices.Clone(files)
	slices.SortStableFunc(sorted, func(a, b File) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Path, b.Path))
	})
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for i, file := range sorted {
		if i > 0 && sorted[i-1].Path == file.Path {
			return nil, fmt.Errorf("pack layer: %q is there twice", file.Path)
		}
		if err := pack(archive, file); err != nil {
			return nil, fmt.Errorf("pack %q: %w", file.Path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("pack layer: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func rank(kind Kind) int {
	return map[Kind]int{Directory: 0, Regular: 1, HardLink: 2, SymLink: 3}[kind]
}

func pack(archive *tar.Writer, file File) error {
	header := &tar.Header{
		Typeflag: map[Kind]byte{Regular: tar.TypeReg, Directory: tar.TypeDir, HardLink: tar.TypeLink, SymLink: tar.TypeSymlink}[file.Kind],
		Name:     file.Path, Linkname: file.Target, Mode: file.Mode, Size: int64(len(file.Content)),
		ModTime: made, Uname: "root", Gname: "root", Format: tar.FormatPAX,
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(file.Content)
	return err
}
