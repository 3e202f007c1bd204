"""How modules of go.mod become repositories. tools/bazel/deps.bzl lists them."""

load("@bazel_gazelle//:deps.bzl", _go_repository = "go_repository")

# Files that a licence asks to be handed on with the program.
_NOTICES = """
filegroup(
    name = "notices",
    srcs = glob(
        ["LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "PATENTS*", "license*"],
        allow_empty = True,
        exclude = ["*.go"],
    ),
    visibility = ["//visibility:public"],
)
"""

def go_repository(**kwargs):
    """One module, pinned by its sum.

    Its BUILD files are made by gazelle, which asks nobody on the network, and
    not from .proto files: modules carry their generated code.

    Args:
      **kwargs: name, importpath, sum and version of the module
    """
    _go_repository(
        build_external = "static",
        build_file_generation = "clean",
        build_file_proto_mode = "disable_global",
        patch_cmds = ["cat >>BUILD.bazel <<'EOF'\n" + _NOTICES + "EOF"],
        **kwargs
    )
