// Release packs the release: one archive of the programs, the files of deploy/,
// a bill of materials, and the licences of all that the programs are made of.
//
// The same inputs give the same bytes: no clock, no user, no path of the machine
// gets in. What the programs are made of is read from the programs, so nothing
// that is linked can be forgotten, and a module without a licence is an error.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	in, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = in.pack()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

// file is a file to read, and its name: in the archive, or, of a notice, the
// module that it belongs to.
type file struct{ name, path string }

// inputs is all that the release is made of.
type inputs struct {
	out      string // directory for the archive
	status   string // what tools/bazel/status printed
	sums     string // go.sum
	programs []file
	files    []file
	notices  []file
}

// parse reads the command line. An argument @FILE stands for the lines of FILE.
func parse(args []string) (*inputs, error) {
	if len(args) == 1 && strings.HasPrefix(args[0], "@") {
		text, err := os.ReadFile(args[0][1:])
		if err != nil {
			return nil, err
		}
		args = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	in := new(inputs)
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&in.out, "out", "", "write the archive into this `directory`")
	flags.StringVar(&in.status, "status", "", "`file` with the lines \"STABLE_TRIVET_VERSION …\" and \"STABLE_TRIVET_TIME …\"")
	flags.StringVar(&in.sums, "sums", "", "the module's go.sum `file`")
	flags.Func("program", "`NAME=FILE`: put a program into bin/", named(&in.programs))
	flags.Func("file", "`NAME=FILE`: put a file into the archive", named(&in.files))
	flags.Func("notice", "`MODULE=FILE`: a licence or notice of a module", named(&in.notices))
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if in.out == "" || in.status == "" || in.sums == "" || len(in.programs) == 0 {
		return nil, errors.New("-out, -status, -sums and -program are needed")
	}
	return in, nil
}

func named(into *[]file) func(string) error {
	return func(value string) error {
		name, path, ok := strings.Cut(value, "=")
		if !ok || name == "" || path == "" {
			return fmt.Errorf("%q is not NAME=FILE", value)
		}
		*into = append(*into, file{name, path})
		return nil
	}
}

// pack writes out/trivet-VERSION-linux-ARCH.tar.gz.
func (in *inputs) pack() error {
	made, err := readStatus(in.status)
	if err != nil {
		return err
	}
	build, err := readPrograms(in.programs)
	if err != nil {
		return err
	}
	if err := build.addSums(in.sums); err != nil {
		return err
	}
	if err := build.addNotices(in.notices); err != nil {
		return err
	}
	bill, err := made.bill(build)
	if err != nil {
		return err
	}
	top := fmt.Sprintf("trivet-%s-linux-%s", made.version, build.arch)
	entries, err := in.entries(build)
	if err != nil {
		return err
	}
	entries = append(entries, entry{name: "trivet.spdx.json", data: bill})
	return writeArchive(filepath.Join(in.out, top+".tar.gz"), top, entries)
}

// entries lists what goes into the archive as it is.
func (in *inputs) entries(build *build) ([]entry, error) {
	var entries []entry
	for _, p := range build.programs {
		entries = append(entries, entry{name: "bin/" + p.name, data: p.data, program: true})
	}
	for _, f := range in.files {
		data, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: f.name, data: data})
	}
	for _, m := range build.modules {
		for _, n := range m.notices {
			entries = append(entries, entry{name: "licences/" + m.path + "/" + n.name, data: n.text})
		}
	}
	return entries, nil
}
