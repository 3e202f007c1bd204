"""The release: one archive, made by tools/bazel/release."""

def _release_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    inputs = [ctx.info_file, ctx.file.sums]
    args = ctx.actions.args()
    args.set_param_file_format("multiline")
    args.use_param_file("@%s", use_always = True)
    args.add(out.path, format = "-out=%s")
    args.add(ctx.info_file, format = "-status=%s")
    args.add(ctx.file.sums, format = "-sums=%s")
    for target, name in ctx.attr.programs.items():
        program = target[DefaultInfo].files_to_run.executable
        inputs.append(program)
        args.add("-program=%s=%s" % (name, program.path))
    for target, folder in ctx.attr.files.items():
        for file in target[DefaultInfo].files.to_list():
            inputs.append(file)
            args.add("-file=%s=%s" % (folder + file.basename, file.path))
    for target, module in ctx.attr.notices.items():
        for file in target[DefaultInfo].files.to_list():
            inputs.append(file)
            args.add("-notice=%s=%s" % (module, file.path))
    ctx.actions.run(
        executable = ctx.executable._pack,
        arguments = [args],
        inputs = inputs,
        outputs = [out],
        mnemonic = "Release",
        progress_message = "Packing the release",
    )
    return [DefaultInfo(files = depset([out]))]

release = rule(
    implementation = _release_impl,
    doc = """A directory NAME with trivet-VERSION-linux-ARCH.tar.gz in it.

The version is known only when the archive is made, hence the directory.""",
    attrs = {
        "files": attr.label_keyed_string_dict(allow_files = True, doc = "files to folders in the archive"),
        "notices": attr.label_keyed_string_dict(allow_files = True, doc = "licences to their modules"),
        "programs": attr.label_keyed_string_dict(mandatory = True, doc = "programs to their names in bin/"),
        "sums": attr.label(mandatory = True, allow_single_file = True, doc = "go.sum"),
        # Built like the programs, not for the machine that builds, which is of the
        # same kind: another configuration would compile the standard library again.
        "_pack": attr.label(default = "//tools/bazel/release", executable = True, cfg = "target"),
    },
)
