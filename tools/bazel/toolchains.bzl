"""Registers the Go toolchain and what rules_go and gazelle need, after they are fetched."""

load("@bazel_gazelle//:deps.bzl", "gazelle_dependencies")
load("@io_bazel_rules_go//go:deps.bzl", "go_register_toolchains", "go_rules_dependencies", "go_wrap_sdk")

def register_rules():
    """Declares the SDK and the helper repositories. What is declared already stays."""
    go_wrap_sdk(
        name = "go_sdk",
        root_file = "@go_sdk_module//:VERSION",
    )
    go_rules_dependencies()
    go_register_toolchains()
    gazelle_dependencies(go_sdk = "go_sdk")
