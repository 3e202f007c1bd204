package stats_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/runtime/stats"
)

const header = "Inter-|   Receive                                                |  Transmit\n" +
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"

func TestInterfaces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]stats.Interface{
		header: nil,
		header + "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 100 2 3 0 0 0 0 0 200 4 5 0 0 0 0 0\nnet1:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n": {
			{Name: "eth0", RxBytes: 100, RxErrors: 3, TxBytes: 200, TxErrors: 5}, {Name: "net1", RxBytes: 7, TxBytes: 8},
		},
	} {
		got, err := stats.ParseInterfaces(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %+v: %v", text, got, err)
		}
	}
	for _, text := range []string{"eth0: 1 2 3\n", "eth0: x 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "eth0:"} {
		if got, err := stats.ParseInterfaces(text); err == nil || !strings.Contains(err.Error(), "eth0") {
			t.Errorf("%q gives %+v: %v", text, got, err)
		}
	}
}

func FuzzInterfaces(f *testing.F) {
	f.Add(header + "  eth0: 100 2 3 0 0 0 0 0 200 4 5 0 0 0 0 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := stats.ParseInterfaces(text)
		if err != nil && found != nil {
			t.Errorf("both %v and an error", found)
		}
		for _, one := range found {
			if one.Name == "lo" || strings.ContainsAny(one.Name, ":\n") {
				t.Errorf("interface %q", one.Name)
			}
		}
	})
}

func FuzzPressure(f *testing.F) {
	f.Add(stall)
	f.Add("some avg10=NaN total=99999999999999999999\nfull x\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := stats.ParsePressure(text)
		if (err == nil) != (p != nil) {
			t.Errorf("%v and %v", p, err)
		}
		if p != nil && p.Some == nil && p.Full == nil {
			t.Error("pressure of nothing")
		}
	})
}

func FuzzFiles(f *testing.F) {
	f.Add("max\n", stat1)
	f.Add("9223372036854771712", "a b\nc 18446744073709551615\n d\n")
	f.Fuzz(func(t *testing.T, one, many string) {
		if limit, err := stats.ParseLimit(one); err == nil && limit != nil && *limit >= math.MaxInt64 {
			t.Errorf("limit %d", *limit)
		}
		for key := range stats.ParseTable(many) {
			if strings.ContainsAny(key, " \n") {
				t.Errorf("key %q", key)
			}
		}
	})
}
