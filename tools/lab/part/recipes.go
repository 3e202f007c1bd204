package part

import "github.com/trivet-cri/trivet/tools/lab/image"

const (
	containerdModule = "github.com/containerd/containerd/v2"
	cniModule        = "github.com/containernetworking/plugins/plugins"
	criTools         = "sigs.k8s.io/cri-tools"
)

const containerdFlags = "-s -w -X " + containerdModule + "/version.Version=v2.4.2 -X " + containerdModule + "/version.Package=" + containerdModule

// containerd with its client for people and its shim, which is static.
var containerd = compiled{
	ID: "containerd", Version: "v2.4.2",
	Steps: []step{
		{Packages: []string{containerdModule + "/cmd/containerd", containerdModule + "/cmd/ctr"}, Tags: "urfave_cli_no_docs", LDFlags: containerdFlags},
		{Packages: []string{containerdModule + "/cmd/containerd-shim-runc-v2"}, Tags: "urfave_cli_no_docs no_grpc", LDFlags: containerdFlags},
	},
}

// runc is linked statically, so that it runs also where libseccomp is not.
var runc = compiled{
	ID: "runc", Version: "v1.5.2",
	Packages: []string{"gcc", "libc6-dev", "pkg-config", "libseccomp-dev"},
	Steps: []step{{
		Packages: []string{"github.com/opencontainers/runc"}, Cgo: true, Tags: "seccomp netgo osusergo",
		LDFlags: `-s -w -X main.version=1.5.2 -linkmode external -extldflags "-static"`,
	}},
}

// crun is of the oldest Debian release whose crun says what it can do. Debian
// 12's does not, so that containerd refuses it pods with user namespaces. It
// is linked statically, as runc is.
var crun = sourced{
	id: "crun", version: "1.21", release: trixie,
	needs: []string{"dpkg-dev", "gcc", "libc6-dev", "libcap-dev", "libseccomp-dev", "make", "pkg-config", "xz-utils"},
	steps: [][]string{
		{"./configure", "-q", "--disable-systemd", "--disable-criu", "--disable-dl", "--enable-embedded-yajl"},
		{"make", "-j4", "LDFLAGS=-all-static"},
	},
	product: "crun", probe: []string{"features"}, without: "user namespaces",
}

// criu is of the oldest Debian release whose CRIU can work on Linux 6.13 and
// later. Of its source only the program is built, without TLS for migrations.
var criu = sourced{
	id: "criu", version: "4.1.1", release: trixie,
	needs: []string{
		"dpkg-dev", "gcc", "libbsd-dev", "libc6-dev", "libcap-dev", "libnet1-dev", "libnl-3-dev", "libprotobuf-c-dev", "libprotobuf-dev",
		"make", "pkg-config", "protobuf-c-compiler", "protobuf-compiler", "uuid-dev", "xz-utils",
	},
	steps:   [][]string{{"make", "-j4", "criu", "WERROR=0", "NO_GNUTLS=1"}},
	product: "criu/criu", probe: []string{"check"}, without: "checkpoints on new kernels",
}

var cni = compiled{
	ID: "cni", Version: "v1.9.1",
	Steps: []step{{
		Packages: []string{
			cniModule + "/main/bridge", cniModule + "/main/loopback", cniModule + "/main/ptp",
			cniModule + "/main/host-device", cniModule + "/main/macvlan",
			cniModule + "/ipam/host-local", cniModule + "/ipam/static",
			cniModule + "/meta/portmap", cniModule + "/meta/bandwidth", cniModule + "/meta/firewall", cniModule + "/meta/tuning",
		},
		LDFlags: "-s -w -X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v1.9.1",
	}},
}

const criToolsFlags = "-s -w -X " + criTools + "/pkg/version.Version=v1.36.0"

var crictl = compiled{
	ID: "crictl", Version: "v1.36.0",
	Steps: []step{{Packages: []string{criTools + "/cmd/crictl"}, LDFlags: criToolsFlags}},
}

// critest pulls one image by the digest of the original bytes. It is built
// with the digest of ours in that place. To run in parallel it needs the
// command of ginkgo, in the version of ginkgo that it is built with.
var critest = compiled{
	ID: "critest", Version: "v1.36.0",
	Steps: []step{
		{Packages: []string{criTools + "/cmd/critest"}, LDFlags: criToolsFlags, Test: "critest"},
		{Packages: []string{"github.com/onsi/ginkgo/v2/ginkgo"}, LDFlags: "-s -w"},
	},
	Module: criTools,
	Patch: func() (Patch, error) {
		digest, err := image.PulledByDigest()
		return Patch{File: "pkg/validate/consts.go", Old: OriginalDigest, New: digest}, err
	},
}

var jaeger = compiled{
	ID: "jaeger", Version: "v1.76.0",
	Steps: []step{{Packages: []string{"github.com/jaegertracing/jaeger/cmd/all-in-one"}, LDFlags: "-s -w"}},
}

// OriginalDigest is the digest in critest's source, of an image that nobody
// can make again.
const OriginalDigest = "sha256:9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf"
