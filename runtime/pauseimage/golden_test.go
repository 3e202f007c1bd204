package pauseimage_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/trivet-cri/trivet/runtime/pauseimage"
)

// The program's code for arm64, which the tests of amd64 cannot run, beside
// what a disassembler makes of it.
var arm64Code = []uint32{
	0xd2800000, // d8:  mov x0, #0                SIG_BLOCK
	0xd2801601, // dc:  mov x1, #0xb0
	0xf2a00801, // e0:  movk x1, #0x40, lsl #16   the set
	0xd2800002, // e4:  mov x2, #0
	0xd2800103, // e8:  mov x3, #8
	0xd28010e8, // ec:  mov x8, #135              rt_sigprocmask
	0xd4000001, // f0:  svc #0
	0xd2800220, // f4:  mov x0, #17               SIGCHLD
	0xd2801701, // f8:  mov x1, #0xb8
	0xf2a00801, // fc:  movk x1, #0x40, lsl #16   SIG_IGN
	0xd2800002, // 100: mov x2, #0
	0xd2800103, // 104: mov x3, #8
	0xd28010c8, // 108: mov x8, #134              rt_sigaction
	0xd4000001, // 10c: svc #0
	0xd2801600, // 110: mov x0, #0xb0
	0xf2a00800, // 114: movk x0, #0x40, lsl #16   the set
	0xd2800001, // 118: mov x1, #0
	0xd2800002, // 11c: mov x2, #0
	0xd2800103, // 120: mov x3, #8
	0xd2801128, // 124: mov x8, #137              rt_sigtimedwait
	0xd4000001, // 128: svc #0
	0x3100101f, // 12c: cmn w0, #4                EINTR
	0x54ffff00, // 130: b.eq 110
	0x531f7c00, // 134: lsr w0, w0, #31
	0xd2800bc8, // 138: mov x8, #94               exit_group
	0xd4000001, // 13c: svc #0
}

func TestARM64Code(t *testing.T) {
	t.Parallel()
	program, err := pauseimage.Program("arm64")
	if err != nil {
		t.Fatal(err)
	}
	if set := binary.LittleEndian.Uint64(program[0xb0:]); set != 0x4002 {
		t.Errorf("signal set %#x", set)
	}
	action := make([]byte, 32)
	action[0] = 1 // SIG_IGN
	if !bytes.Equal(program[0xb8:0xd8], action) {
		t.Errorf("action %x", program[0xb8:0xd8])
	}
	code := make([]uint32, (len(program)-0xd8)/4)
	if err := binary.Read(bytes.NewReader(program[0xd8:]), binary.LittleEndian, code); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(code, arm64Code) {
		t.Errorf("code %#x", code)
	}
}

// Nodes that have the image must not get another one for the same program.
func TestDigests(t *testing.T) {
	t.Parallel()
	for arch, want := range map[string][3]digest.Digest{
		"amd64": {
			"sha256:075cb658ece18f92b59691c5b0297af637ca47b13afb0f08c515afc88ed0cb8f",
			"sha256:79b2cff99d927339df45fade0a8c9135f7eed241d6ee8be4f766409cbdd9824b",
			"sha256:67b8ad31fe602e2432c8eae0efe0a3b4486d4d73dbb71562a5c7d41a47797240",
		},
		"arm64": {
			"sha256:946850b95dff60c0850802c95ddd623edfeb118816ecf6b8c580c1e97cabe881",
			"sha256:2fbb12fd51d665e57fc685b8d8b637ef851f6d52a91b300ab48176d304a1bfd0",
			"sha256:9ddaa04d2deb4a1315e448910097f16bcb5f509c33f5d6c46e601e0f49acbdd5",
		},
	} {
		for range 2 {
			image, err := pauseimage.Image(arch)
			if err != nil {
				t.Fatal(err)
			}
			got := [3]digest.Digest{image.Manifest.Descriptor.Digest, image.Config.Descriptor.Digest, image.Layer.Descriptor.Digest}
			if got != want {
				t.Errorf("%s: digests %v, want %v", arch, got, want)
			}
		}
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	image, err := pauseimage.Image("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]pauseimage.Blob{"manifest": image.Manifest, "config": image.Config, "layer": image.Layer} {
		if b.Descriptor.Digest != digest.FromBytes(b.Bytes) || b.Descriptor.Size != int64(len(b.Bytes)) {
			t.Errorf("%s: descriptor %+v does not fit its content", name, b.Descriptor)
		}
	}
	var manifest ocispec.Manifest
	var config ocispec.Image
	if err := json.Unmarshal(image.Manifest.Bytes, &manifest); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(image.Config.Bytes, &config); err != nil {
		t.Fatal(err)
	}
	if manifest.SchemaVersion != 2 || manifest.MediaType != image.Manifest.Descriptor.MediaType ||
		manifest.Config.Digest != image.Config.Descriptor.Digest || len(manifest.Layers) != 1 || manifest.Layers[0].Digest != image.Layer.Descriptor.Digest {
		t.Errorf("manifest %+v", manifest)
	}
	if config.Architecture != "amd64" || config.OS != "linux" || config.Config.User != "65535:65535" ||
		!slices.Equal(config.Config.Entrypoint, []string{"/pause"}) || !slices.Equal(config.RootFS.DiffIDs, []digest.Digest{image.Layer.Descriptor.Digest}) {
		t.Errorf("config %+v", config)
	}
	archive := tar.NewReader(bytes.NewReader(image.Layer.Bytes))
	header, err := archive.Next()
	if err != nil {
		t.Fatal(err)
	}
	program, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	want, err := pauseimage.Program("amd64")
	if err != nil {
		t.Fatal(err)
	}
	if header.Name != "pause" || header.Mode != 0o755 || header.Uid != 0 || header.Gid != 0 || !bytes.Equal(program, want) {
		t.Errorf("layer has %+v", header)
	}
	if _, err := archive.Next(); err != io.EOF {
		t.Errorf("the layer has more: %v", err)
	}
}

func TestUnknownArchitecture(t *testing.T) {
	t.Parallel()
	if _, err := pauseimage.Image("mips"); !errdefs.IsNotImplemented(err) {
		t.Errorf("error %v", err)
	}
}
