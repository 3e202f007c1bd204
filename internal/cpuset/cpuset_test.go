package cpuset_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/internal/cpuset"
)

func TestLists(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]int{
		"": nil, "0": {0}, "0-3,5": {0, 1, 2, 3, 5}, "7,1-2,2": {1, 2, 7}, "65535": {65535},
	} {
		s, err := cpuset.Parse(list)
		if got := s.List(); err != nil || !slices.Equal(got, want) || s.Size() != len(want) || s.Empty() != (want == nil) {
			t.Errorf("%q: got %v, %v", list, got, err)
		}
		if !s.Equal(cpuset.Of(want...)) {
			t.Errorf("%q is not %v", list, want)
		}
	}
	for list, want := range map[string]string{
		"a": "is not a list", "1,": "is not a list", "-1": "is not a list", "1-": "is not a list", "+1": "is not a list", " 1": "is not a list",
		"3-1": "has the range 3-1, which goes backwards", "65536": "has 65536, and no machine has so many",
		"0-99999999999999999999": "and no machine has so many", "0-3:1/2": "is not a list",
	} {
		if s, err := cpuset.Parse(list); err == nil || !strings.Contains(err.Error(), want) || !s.Empty() {
			t.Errorf("%q: got %v, %v", list, s, err)
		}
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	for want, numbers := range map[string][]int{"": nil, "0-3,5": {5, 0, 1, 3, 2}, "1-2": {1, 2}, "64": {64}} {
		if got := cpuset.Of(numbers...).String(); got != want {
			t.Errorf("%v: got %q", numbers, got)
		}
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mask string
		list string
		back string
	}{
		{"3\n", "0-1", "00000003"},
		{"ff,ffffffff", "0-39", "000000ff,ffffffff"},
		{"00000000,00000010", "4", "00000000,00000010"},
		{"F0", "4-7", "000000f0"},
		{"0", "", "00000000"},
	} {
		s, err := cpuset.ParseMask(c.mask)
		width := 1
		if strings.Contains(c.mask, ",") {
			width = 40
		}
		if err != nil || s.String() != c.list || s.Mask(width) != c.back {
			t.Errorf("%q: got %q, %q, %v", c.mask, s, s.Mask(width), err)
		}
	}
	for _, mask := range []string{"", ",", "g", "-1", "0x1", strings.Repeat("f", 20000)} {
		if _, err := cpuset.ParseMask(mask); err == nil {
			t.Errorf("%.20q is taken for a mask", mask)
		}
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	a, b := cpuset.Of(0, 1, 2), cpuset.Of(2, 3)
	for want, got := range map[string]cpuset.Set{"0-3": a.Plus(b), "0-1": a.Minus(b), "2": a.Both(b), "0-2": a, "2-3": b} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !cpuset.Of(1).Within(a) || a.Within(b) || !(cpuset.Set{}).Within(b) {
		t.Error("Within")
	}
}

func FuzzParse(f *testing.F) {
	for _, list := range []string{"0-3,5", "7", "", "1-0", "x"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		s, err := cpuset.Parse(list)
		if err != nil {
			return
		}
		if again, err := cpuset.Parse(s.String()); err != nil || !again.Equal(s) {
			t.Errorf("%q: written as %q, read as %q: %v", list, s, again, err)
		}
		if masked, err := cpuset.ParseMask(s.Mask(0)); err != nil || !masked.Equal(s) {
			t.Errorf("%q: mask %q is %q: %v", list, s.Mask(0), masked, err)
		}
	})
}
