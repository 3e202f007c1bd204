"""Small stand-ins for repositories that rules_go and gazelle name.

package_metadata (of bazel-contrib/supply-chain) lets programs tell which modules
they are made of; the stand-in has the one rule that gazelle writes into
repositories. protobuf is named by rules for .proto files, which are not used here:
generated code is checked in.
"""

_PROVIDER = '''"""Who made a package."""

PackageMetadataInfo = provider(
    doc = "Metadata of a package.",
    fields = {"metadata": "a JSON file with the package's purl"},
)
'''

_RULE = '''"""Declares who made the targets of a repository."""

load("//providers:package_metadata_info.bzl", "PackageMetadataInfo")

def _package_metadata_impl(ctx):
    file = ctx.actions.declare_file(ctx.label.name + ".package-metadata.json")
    ctx.actions.write(file, json.encode({"purl": ctx.attr.purl}))
    return [DefaultInfo(files = depset([file])), PackageMetadataInfo(metadata = file)]

_package_metadata = rule(
    implementation = _package_metadata_impl,
    attrs = {"purl": attr.string(mandatory = True)},
    provides = [PackageMetadataInfo],
)

def package_metadata(**kwargs):
    # Not itself described by the repository's default, which is this target.
    _package_metadata(applicable_licenses = [], **kwargs)
'''

def _package_metadata_shim_impl(ctx):
    ctx.file("BUILD.bazel")
    ctx.file("providers/BUILD.bazel", 'exports_files(["package_metadata_info.bzl"], visibility = ["//visibility:public"])\n')
    ctx.file("providers/package_metadata_info.bzl", _PROVIDER)
    ctx.file("rules/BUILD.bazel")
    ctx.file("rules/package_metadata.bzl", _RULE)

package_metadata_shim = repository_rule(implementation = _package_metadata_shim_impl)

def _protobuf_shim_impl(ctx):
    ctx.file("BUILD.bazel")
    ctx.file("bazel/BUILD.bazel")
    ctx.file("bazel/proto_library.bzl", "def proto_library(**_kwargs):\n    fail(\".proto files are not built by Bazel here\")\n")
    ctx.file("bazel/common/BUILD.bazel")
    for name, value in {
        "proto_common": "proto_common",
        "proto_info": "ProtoInfo",
        "proto_lang_toolchain_info": "ProtoLangToolchainInfo",
    }.items():
        ctx.file("bazel/common/%s.bzl" % name, "%s = provider(fields = [])\n" % value)

protobuf_shim = repository_rule(implementation = _protobuf_shim_impl)
