// Package cpuset has sets of processors, or memory nodes, in the kernel's
// notations: lists such as "0-3,5", and masks such as "ff,ffffffff".
package cpuset

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// limit is beyond the number of any processor or memory node that a kernel
// can be built for.
const limit = 1 << 16

// Set is a set of numbers. The zero value is empty; a set never changes.
type Set struct{ bits big.Int }

// Of is the set of some numbers, which are not negative.
func Of(numbers ...int) (s Set) {
	for _, n := range numbers {
		s.bits.SetBit(&s.bits, n, 1)
	}
	return s
}

// Parse reads a list. Empty is none.
func Parse(list string) (s Set, err error) {
	if list == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := number(low)
		if err != nil {
			return Set{}, err
		}
		last := first
		if isRange {
			if last, err = number(high); err != nil {
				return Set{}, err
			}
		}
		if last < first {
			return Set{}, fmt.Errorf("has the range %d-%d, which goes backwards", first, last)
		}
		for n := first; n <= last; n++ {
			s.bits.SetBit(&s.bits, n, 1)
		}
	}
	return s, nil
}

func number(text string) (int, error) {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, errors.New(`is not a list such as "0-3,5"`)
	}
	n, err := strconv.Atoi(text)
	if err != nil || n >= limit {
		return 0, fmt.Errorf("has %.20s, and no machine has so many", text)
	}
	return n, nil
}

// ParseMask reads a mask: hexadecimal, with or without a comma before every
// eight digits.
func ParseMask(mask string) (s Set, err error) {
	digits := strings.ReplaceAll(strings.TrimSpace(mask), ",", "")
	hexadecimal := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F'
	}
	if digits == "" || len(digits) > limit/4 || strings.ContainsFunc(digits, func(r rune) bool { return !hexadecimal(r) }) {
		return Set{}, fmt.Errorf("%.80q is not a mask such as \"ff,ffffffff\"", mask)
	}
	s.bits.SetString(digits, 16)
	return s, nil
}

// Mask is s as a mask of at least width numbers, in whole groups of eight
// digits, as the kernel takes it.
func (s Set) Mask(width int) string {
	digits := s.bits.Text(16)
	groups := max((width+31)/32, (len(digits)+7)/8, 1)
	digits = strings.Repeat("0", groups*8-len(digits)) + digits
	parts := make([]string, 0, groups)
	for ; digits != ""; digits = digits[8:] {
		parts = append(parts, digits[:8])
	}
	return strings.Join(parts, ",")
}

// String is s as a list.
func (s Set) String() string {
	var parts []string
	for n := 0; n < s.bits.BitLen(); n++ {
		if !s.Has(n) {
			continue
		}
		first := n
		for s.Has(n + 1) {
			n++
		}
		part := strconv.Itoa(first)
		if n > first {
			part += "-" + strconv.Itoa(n)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// List are the numbers, the lowest first.
func (s Set) List() []int {
	var all []int
	for n := range s.bits.BitLen() {
		if s.Has(n) {
			all = append(all, n)
		}
	}
	return all
}

// Has tells whether n, which is not negative, is in s.
func (s Set) Has(n int) bool { return s.bits.Bit(n) == 1 }

// Empty tells whether s has no number.
func (s Set) Empty() bool { return s.bits.Sign() == 0 }

// Size is how many numbers there are.
func (s Set) Size() int { return len(s.List()) }

// Width is one more than the highest number; 0 if there is none.
func (s Set) Width() int { return s.bits.BitLen() }

// Within tells whether other has all of s.
func (s Set) Within(other Set) bool { return s.Minus(other).Empty() }

// Equal tells whether both have the same numbers.
func (s Set) Equal(other Set) bool { return s.bits.Cmp(&other.bits) == 0 }

// Plus has what is in s or other.
func (s Set) Plus(other Set) (sum Set) {
	sum.bits.Or(&s.bits, &other.bits)
	return sum
}

// Minus has what is in s and not in other.
func (s Set) Minus(other Set) (rest Set) {
	rest.bits.AndNot(&s.bits, &other.bits)
	return rest
}

// Both has what is in s and in other.
func (s Set) Both(other Set) (common Set) {
	common.bits.And(&s.bits, &other.bits)
	return common
}
