package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// suites are what can be measured. Figures are returned as far as they came.
var suites = map[string]func(*sides, context.Context, *options) ([]figure, error){
	"start":  (*sides).start,
	"exec":   (*sides).exec,
	"stream": (*sides).stream,
	"logs":   (*sides).logs,
}

// alone is the suite that measures Trivet alone.
const alone = "memory"

// options are the arguments.
type options struct {
	suite                string
	rounds               int
	json                 string
	handler              string
	concurrency          []int
	pods                 int
	commands, containers int
	seconds              int
	mib, connections     int
	quick                []func() // make the sizes small
}

func parse(args []string) (*options, error) {
	if len(args) == 0 {
		return nil, errors.New("which suite?")
	}
	opts := &options{suite: args[0]}
	if opts.suite == "--help" || opts.suite == "-h" {
		return nil, flag.ErrHelp
	}
	if suites[opts.suite] == nil && opts.suite != alone {
		return nil, fmt.Errorf("no suite is called %q", opts.suite)
	}
	flags := opts.flags()
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return opts, nil
}

// flags are those of the suite, with their defaults.
func (o *options) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(o.suite, flag.ContinueOnError)
	flags.Usage = func() {}
	flags.StringVar(&o.json, "json", "", "")
	if o.suite != alone {
		flags.StringVar(&o.handler, "handler", "", "")
	}
	positive := func(into *int, name string, normal, quick int) {
		*into = normal
		flags.Func(name, "", func(text string) (err error) {
			*into, err = parsePositive(text)
			return err
		})
		o.quick = append(o.quick, func() { *into = quick })
	}
	positive(&o.rounds, "rounds", 6, 2)
	switch o.suite {
	case "start":
		positive(&o.pods, "pods", 2, 1)
		o.concurrencies(flags)
	case "exec":
		positive(&o.commands, "commands", 40, 10)
		positive(&o.containers, "containers", 100, 5)
		positive(&o.seconds, "seconds", 20, 3)
		o.concurrencies(flags)
	case "stream":
		positive(&o.mib, "mib", 512, 64)
		positive(&o.connections, "connections", 200, 20)
	case "logs":
		positive(&o.mib, "mib", 256, 64)
		o.concurrencies(flags)
	case alone:
		positive(&o.containers, "containers", 500, 50)
	}
	flags.BoolFunc("quick", "", func(string) error {
		for _, shrink := range o.quick {
			shrink()
		}
		return nil
	})
	return flags
}

func (o *options) concurrencies(flags *flag.FlagSet) {
	o.concurrency = []int{1, 8}
	flags.Func("concurrency", "", func(text string) error {
		o.concurrency = nil
		for _, one := range strings.Split(text, ",") {
			n, err := parsePositive(one)
			if err != nil {
				return err
			}
			o.concurrency = append(o.concurrency, n)
		}
		return nil
	})
}

func parsePositive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a positive number", text)
	}
	return n, nil
}
