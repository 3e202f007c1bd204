package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Ulimit is one limit of a process, see setrlimit(2).
type Ulimit struct {
	Name       string // as ulimit(1) and limits.conf(5) have it: nofile
	Soft, Hard uint64 // Unlimited for none
}

// Unlimited is the kernel's RLIM_INFINITY.
const Unlimited = math.MaxUint64

// ulimits are the kernel's names, in lower case.
var ulimits = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
	"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
}

// ParseUlimit reads name=soft:hard, or name=limit for both. -1 and unlimited
// are no limit.
func ParseUlimit(text string) (Ulimit, error) {
	name, limits, ok := strings.Cut(text, "=")
	if !ok {
		return Ulimit{}, fmt.Errorf("%q is not name=soft:hard", text)
	}
	if !slices.Contains(ulimits, name) {
		return Ulimit{}, fmt.Errorf("%q: %q is none of %s", text, name, strings.Join(ulimits, ", "))
	}
	low, high, both := strings.Cut(limits, ":")
	if !both {
		high = low
	}
	u := Ulimit{Name: name}
	for _, l := range []struct {
		text  string
		value *uint64
	}{{low, &u.Soft}, {high, &u.Hard}} {
		if l.text == "-1" || l.text == "unlimited" {
			*l.value = Unlimited
			continue
		}
		var err error
		if *l.value, err = strconv.ParseUint(l.text, 10, 63); err != nil {
			return Ulimit{}, fmt.Errorf("%q: %q is no number, and not -1", text, l.text)
		}
	}
	if u.Soft > u.Hard {
		return Ulimit{}, fmt.Errorf("%q: the soft limit is above the hard one", text)
	}
	return u, nil
}

// Ulimits are default_ulimits, of which Load has seen that they can be read.
func (r *Runtime) Ulimits() []Ulimit {
	var all []Ulimit
	for _, text := range r.DefaultUlimits {
		if u, err := ParseUlimit(text); err == nil {
			all = append(all, u)
		}
	}
	return all
}

func (r *Runtime) validateUlimits(check *checker) {
	seen := make(map[string]bool)
	for _, text := range r.DefaultUlimits {
		u, err := ParseUlimit(text)
		switch {
		case err != nil:
			check.add("runtime.default_ulimits", "%v", err)
		case seen[u.Name]:
			check.add("runtime.default_ulimits", "%q: %s is there twice", text, u.Name)
		}
		seen[u.Name] = true
	}
}
