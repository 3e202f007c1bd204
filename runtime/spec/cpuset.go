package spec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxCPU is beyond the number of any processor or memory node that a kernel
// can be built for.
const maxCPU = 1 << 16

// interval is a range of processors or memory nodes, both ends included.
type interval struct{ first, last int }

// parseSet reads the kernel's list format: "0-3,5". Empty is none.
func parseSet(list string) ([]interval, error) {
	if list == "" {
		return nil, nil
	}
	var set []interval
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := parseNumber(low)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = parseNumber(high); err != nil {
				return nil, err
			}
		}
		if last < first {
			return nil, fmt.Errorf("has the range %d-%d, which goes backwards", first, last)
		}
		set = append(set, interval{first, last})
	}
	return set, nil
}

func parseNumber(text string) (int, error) {
	if text == "" {
		return 0, errors.New(`is not a list such as "0-3,5"`)
	}
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return 0, errors.New(`is not a list such as "0-3,5"`)
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n >= maxCPU {
		return 0, fmt.Errorf("has %.20s, and no machine has so many", text)
	}
	return n, nil
}

// within tells whether all of list is in have. An unknown have has all. Both
// have been parsed before.
func within(list, have string) bool {
	asked, _ := parseSet(list)
	there, _ := parseSet(have)
	if len(there) == 0 {
		return true
	}
	for _, want := range asked {
		for n := want.first; n <= want.last; n++ {
			if !holds(there, n) {
				return false
			}
		}
	}
	return true
}

func holds(set []interval, n int) bool {
	for _, i := range set {
		if n >= i.first && n <= i.last {
			return true
		}
	}
	return false
}
