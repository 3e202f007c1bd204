package stats

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// number reads a file that is one number.
func number(text string) (uint64, error) {
	return strconv.ParseUint(strings.TrimSpace(text), 10, 64)
}

// unlimited is from where on a limit is none: version 1 writes the largest
// number of whole pages.
const unlimited = 1 << 62

// limit reads a limit, nil for none.
func limit(text string) (*uint64, error) {
	if strings.TrimSpace(text) == "max" {
		return nil, nil
	}
	n, err := number(text)
	if err != nil || n >= unlimited {
		return nil, err
	}
	return &n, nil
}

// left is what a limit leaves, nil if there is no limit.
func left(limit *uint64, used uint64) *uint64 {
	if limit == nil {
		return nil
	}
	rest := *limit - min(used, *limit)
	return &rest
}

// table reads lines "key number", as in cpu.stat and memory.stat. Lines of
// another form are passed over: kernels add new ones.
func table(text string) map[string]uint64 {
	values := make(map[string]uint64)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := number(value); err == nil {
			values[key] = n
		}
	}
	return values
}

// need returns the values of keys, in their order, and an error that names
// the first that is missing.
func need(values map[string]uint64, keys ...string) ([]uint64, error) {
	found := make([]uint64, len(keys))
	for i, key := range keys {
		value, ok := values[key]
		if !ok {
			return nil, fmt.Errorf("it has no number for %q", key)
		}
		found[i] = value
	}
	return found, nil
}

// pressure reads a file of pressure stall information:
//
//	some avg10=0.00 avg60=0.12 avg300=0.30 total=4711
func pressure(text string) (*Pressure, error) {
	p := &Pressure{}
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		into := map[string]**Stall{"some": &p.Some, "full": &p.Full}[kind]
		if into == nil {
			continue
		}
		one, err := stall(rest)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", kind, err)
		}
		*into = one
	}
	if p.Some == nil && p.Full == nil {
		return nil, errors.New("it has neither some nor full")
	}
	return p, nil
}

func stall(fields string) (*Stall, error) {
	s := &Stall{}
	shares := map[string]*float64{"avg10": &s.Avg10, "avg60": &s.Avg60, "avg300": &s.Avg300}
	for field := range strings.FieldsSeq(fields) {
		key, value, _ := strings.Cut(field, "=")
		var err error
		if share := shares[key]; share != nil {
			*share, err = strconv.ParseFloat(value, 64)
		} else if key == "total" {
			var micro uint64
			micro, err = strconv.ParseUint(value, 10, 64)
			s.Total = micro * 1000
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// interfaces reads /proc/net/dev, but for lo. Behind the name are eight
// counters for what came in and eight for what went out; bytes are the first of
// each, errors the third.
func interfaces(text string) ([]Interface, error) {
	var found []Interface
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "lo" {
			continue // the header has no colon
		}
		counters := strings.Fields(rest)
		if len(counters) < 16 {
			return nil, fmt.Errorf("interface %.20q has %d counters, not 16", name, len(counters))
		}
		one := Interface{Name: name}
		for i, into := range map[int]*uint64{0: &one.RxBytes, 2: &one.RxErrors, 8: &one.TxBytes, 10: &one.TxErrors} {
			n, err := number(counters[i])
			if err != nil {
				return nil, fmt.Errorf("interface %.20q: %w", name, err)
			}
			*into = n
		}
		found = append(found, one)
	}
	return found, nil
}
