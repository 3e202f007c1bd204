"""The rules that BUILD files of this repository use.

BUILD files load them from here, and nowhere else, so that what is behind them
can change in one file.
"""

load("@io_bazel_rules_go//go:def.bzl", _go_binary = "go_binary", _go_library = "go_library", _go_test = "go_test")

go_binary = _go_binary
go_library = _go_library
go_test = _go_test
