"""The rules that BUILD files of this repository use.

BUILD files load them from here, and nowhere else, so that what is behind them
can change in one file.
"""

load("@io_bazel_rules_go//go:def.bzl", _go_binary = "go_binary", _go_library = "go_library", _go_test = "go_test")

# The programs that know their version. A library that knew it would make every
# test that has it run again after every commit.
_VERSIONED = ["launcher", "netsync", "runtime", "streamer"]

go_library = _go_library
go_test = _go_test

def go_binary(name, **kwargs):
    """A program; if it is one of those that are released, with its version in it.

    Args:
      name: name of the target
      **kwargs: as for rules_go's go_binary
    """
    x_defs = dict(kwargs.pop("x_defs", {}))
    if native.package_name() in _VERSIONED:
        x_defs["github.com/trivet-cri/trivet/internal/version.version"] = "{STABLE_TRIVET_VERSION}"
    _go_binary(name = name, x_defs = x_defs, **kwargs)
