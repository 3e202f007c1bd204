"""Fetches the rules and the Go SDK as Go modules, pinned by their sums.

The module proxy and the checksums of go.sum are all that this repository needs to
be built; rules come the same way. The sums are those that `go mod download` prints.
"""

load("//tools/bazel:module.bzl", "go_module", "go_sdk_module")
load("//tools/bazel:shims.bzl", "package_metadata_shim", "protobuf_shim")

def fetch_rules():
    """Declares rules_go, gazelle, the Go SDK, and the two repositories that they name in vain."""
    go_module(
        name = "io_bazel_rules_go",
        module = "github.com/bazelbuild/rules_go",
        sum = "h1:oHAvkNIMaOhguFSCHi0bCoUhz2390srk4U0rTn9mqBc=",
        version = "v0.65.0",
    )
    go_module(
        name = "bazel_gazelle",
        module = "github.com/bazelbuild/bazel-gazelle",
        sum = "h1:qNh2WraxM8cjIeHZQ7QPTTSPbkrX9Z0GkhtGbiz1ToE=",
        version = "v0.53.0",
        # Its go.work wants this module in a folder. A module's zip has no
        # modules within.
        nested_dir = "v2",
        nested_module = "github.com/bazel-contrib/bazel-gazelle/v2",
        nested_sum = "h1:Mq3iQ30V39RGCErrbnhHFOAcnxpWTIrk35Pc9guNfOY=",
        nested_version = "v2.0.0-3",
    )
    go_sdk_module(
        name = "go_sdk_module",
        sums = {
            "amd64": "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM=",
        },
        version = "1.26.8",
    )
    package_metadata_shim(name = "package_metadata")
    protobuf_shim(name = "com_google_protobuf")
