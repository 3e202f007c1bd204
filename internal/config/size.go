package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Size is a number of bytes, which TOML may write with a unit: "12MiB". Units
// are powers of 1024, however they are spelled.
type Size int64

// sizes are numbers with the units that people write: 12, 12k, 12.5 MB, 1GiB.
var sizes = regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([kmgtp]?)(i?b)?$`)

// units are the prefixes, each 1024 times the one before.
const units = "kmgtp"

// MarshalText writes the largest unit of which there is a whole number; none
// at all for 0.
func (s Size) MarshalText() ([]byte, error) {
	if s == 0 {
		return nil, nil
	}
	unit := "B"
	for _, u := range strings.ToUpper(units) {
		if s%1024 != 0 {
			break
		}
		s, unit = s/1024, string(u)+"iB"
	}
	return []byte(strconv.FormatInt(int64(s), 10) + unit), nil
}

// UnmarshalText reads a number with or without a unit. Empty is 0.
func (s *Size) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = 0
		return nil
	}
	parts := sizes.FindStringSubmatch(strings.ToLower(string(text)))
	if parts == nil {
		return fmt.Errorf("size %.80q: use a number with a unit, such as \"12MiB\"", text)
	}
	number, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return fmt.Errorf("size %.80q: %w", text, err)
	}
	if parts[2] != "" {
		number *= math.Pow(1024, float64(strings.Index(units, parts[2])+1))
	}
	if number >= math.MaxInt64 {
		return fmt.Errorf("size %.80q: no machine has so much", text)
	}
	*s = Size(number)
	return nil
}

// String is s as a file has it.
func (s Size) String() string {
	text, _ := s.MarshalText() // never fails
	return string(text)
}
