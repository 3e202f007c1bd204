package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]options{
		"":                                {handler: "runc", parallel: 1, repeat: 1},
		"--baseline -ginkgo.v":            {handler: "runc", parallel: 1, repeat: 1, baseline: true, rest: []string{"-ginkgo.v"}},
		"--handler crun --parallel=2":     {handler: "crun", parallel: 2, repeat: 1},
		"-repeat 10 -- -ginkgo.focus=a=b": {handler: "runc", parallel: 1, repeat: 10, rest: []string{"-ginkgo.focus=a=b"}},
		"--dir /x":                        {handler: "runc", parallel: 1, repeat: 1, dir: "/x"},
	} {
		got, err := parse(strings.Fields(line))
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%q gives %+v: %v", line, got, err)
		}
	}
	for line, want := range map[string]string{
		"--repeat": "--repeat needs a value", "--repeat 0": "less than 1", "--parallel=x": "--parallel \"x\"", "--handler=": "empty", "crun": "unexpected argument",
	} {
		if _, err := parse(strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v", line, err)
		}
	}
	if got, err := parse([]string{"-h"}); got != nil || err != nil {
		t.Errorf("help gives %+v: %v", got, err)
	}
}
