// Modules writes tools/bazel/deps.bzl: the modules of go.mod as Bazel
// repositories, pinned by the sums of go.sum.
//
// go.mod names every module that the packages here are made of, direct or not, so
// its list is enough. Its output depends on nothing but these two files; the test
// beside it fails when the file that is checked in is stale.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

const usage = `usage: modules [DIRECTORY]

Prints tools/bazel/deps.bzl for the go.mod and go.sum of a directory, by default
this one.
`

func main() {
	dir := "."
	switch {
	case len(os.Args) > 2:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case len(os.Args) == 2 && (os.Args[1] == "--help" || os.Args[1] == "-h"):
		fmt.Print(usage)
		return
	case len(os.Args) == 2:
		dir = os.Args[1]
	}
	text, err := generate(filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "modules: %v\n", err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(text)
}
