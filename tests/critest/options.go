package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const usage = `usage: tools/critest [--handler NAME] [--parallel N] [--repeat N] [--baseline]
                     [--dir DIR] [CRITEST FLAG...]

Runs Kubernetes' CRI validation suite (critest) against Trivet in a lab of its
own, which is built on the first run, and ends with the line
  critest: N passed, N failed, N skipped
A test that fails and is not in tests/critest/expected-failures.txt fails the
run, and so does a test in that list that passes, and one that is skipped for
want of anything but AppArmor.

  --handler NAME  the default runtime handler: runc (the default) or crun
  --parallel N    run N tests at the same time
  --repeat N      run the suite N times, with the tests in another order each
                  time; each run has its line
  --baseline      run against containerd's built-in CRI plugin, without the list
  --dir DIR       keep the reports and all logs in DIR (default: a directory under
                  /tmp that is removed unless the run fails)
  --help          this text

Every other flag is critest's own, for example
  tools/critest -ginkgo.focus='exec' -ginkgo.v
  tools/critest -websocket-exec -websocket-attach -websocket-portforward
`

// options are the program's own flags; the rest is critest's.
type options struct {
	handler          string
	parallel, repeat int
	baseline         bool
	dir              string
	rest             []string
}

// parse separates the program's own flags; nil means that help was asked for.
func parse(args []string) (*options, error) {
	opts := &options{handler: "runc", parallel: 1, repeat: 1}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case arg == "--":
			continue
		case !strings.HasPrefix(arg, "-"):
			return nil, fmt.Errorf("unexpected argument %q", arg)
		case name == "help" || name == "h":
			return nil, nil
		case name == "baseline":
			opts.baseline = true
			continue
		}
		set := opts.setter(name)
		if set == nil {
			opts.rest = append(opts.rest, arg)
			continue
		}
		if !given {
			if len(args) == 0 {
				return nil, fmt.Errorf("--%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		if err := set(value); err != nil {
			return nil, fmt.Errorf("--%s %q: %w", name, value, err)
		}
	}
	return opts, nil
}

// setter sets the option with a value that has the name, nil if there is none.
func (o *options) setter(name string) func(string) error {
	text := func(into *string) func(string) error {
		return func(value string) error {
			if value == "" {
				return errors.New("it is empty")
			}
			*into = value
			return nil
		}
	}
	count := func(into *int) func(string) error {
		return func(value string) (err error) {
			if *into, err = strconv.Atoi(value); err == nil && *into < 1 {
				err = errors.New("it is less than 1")
			}
			return err
		}
	}
	return map[string]func(string) error{
		"handler": text(&o.handler), "dir": text(&o.dir), "parallel": count(&o.parallel), "repeat": count(&o.repeat),
	}[name]
}
