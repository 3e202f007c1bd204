"""Repository rules that fetch Go modules with the go command on PATH."""

def _download(ctx, module, version, sum):
    """Downloads a module into the module cache, verifies it and returns its directory."""
    what = module + "@" + version
    ctx.report_progress("downloading " + what)
    done = ctx.execute(
        ["go", "mod", "download", "-json", what],
        # Outside any module, and never by a toolchain that this one fetches.
        environment = {"GOWORK": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"},
        timeout = 1200,
    )
    if done.return_code != 0:
        fail("download %s: %s%s" % (what, done.stdout, done.stderr))
    answer = json.decode(done.stdout)
    if answer["Sum"] != sum:
        fail("download %s: the sum is %s, not %s" % (what, answer["Sum"], sum))
    return answer["Dir"]

def _run(ctx, *command):
    done = ctx.execute(command)
    if done.return_code != 0:
        fail("%s: %s" % (" ".join([str(word) for word in command]), done.stderr))

def _copy(ctx, source, target):
    # Files of the module cache are read-only.
    _run(ctx, "cp", "-R", "--no-preserve=mode", source + "/.", target)

def _go_module_impl(ctx):
    _copy(ctx, _download(ctx, ctx.attr.module, ctx.attr.version, ctx.attr.sum), ".")
    if ctx.attr.nested_module:
        _run(ctx, "mkdir", "-p", ctx.attr.nested_dir)
        _copy(ctx, _download(ctx, ctx.attr.nested_module, ctx.attr.nested_version, ctx.attr.nested_sum), ctx.attr.nested_dir)
        ctx.file(ctx.attr.nested_dir + "/go.sum", "")

    # Modules carry no modes.
    _run(ctx, "find", ".", "-name", "*.sh", "-exec", "chmod", "+x", "{}", "+")

go_module = repository_rule(
    implementation = _go_module_impl,
    doc = "A module as it is, with the BUILD files that it has, and perhaps another in a folder of it.",
    attrs = {
        "module": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
        "sum": attr.string(mandatory = True),
        "nested_dir": attr.string(),
        "nested_module": attr.string(),
        "nested_version": attr.string(),
        "nested_sum": attr.string(),
    },
)

def _go_sdk_module_impl(ctx):
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(ctx.os.arch, ctx.os.arch)
    if arch not in ctx.attr.sums:
        fail("no sum of the Go SDK for %s is pinned in tools/bazel/rules.bzl" % arch)
    version = "v0.0.1-go%s.linux-%s" % (ctx.attr.version, arch)
    _copy(ctx, _download(ctx, "golang.org/toolchain", version, ctx.attr.sums[arch]), ".")
    _run(ctx, "sh", "-c", "chmod +x bin/* pkg/tool/*/*")

    # A zip of a module cannot hold a go.mod below its root.
    _run(ctx, "find", ".", "-name", "_go.mod", "-execdir", "mv", "{}", "go.mod", ";")
    ctx.file("BUILD.bazel", 'exports_files(["LICENSE", "VERSION"])\n')

go_sdk_module = repository_rule(
    implementation = _go_sdk_module_impl,
    doc = "The Go SDK, from the module that the go command takes toolchains from.",
    attrs = {
        "version": attr.string(mandatory = True),
        "sums": attr.string_dict(mandatory = True, doc = "architecture to sum"),
    },
)
