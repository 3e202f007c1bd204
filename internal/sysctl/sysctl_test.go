package sysctl_test

import (
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/internal/sysctl"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]sysctl.Namespace{
		"net.ipv4.ip_forward":             sysctl.Net,
		"net/ipv4/conf/eth0.1/forwarding": sysctl.Net,
		"kernel.shmmax":                   sysctl.IPC,
		"kernel/sem":                      sysctl.IPC,
		"fs.mqueue.msg_max":               sysctl.IPC,
		"kernel.domainname":               sysctl.UTS,
		"kernel.hostname":                 sysctl.None,
		"vm.swappiness":                   sysctl.None,
		"kernel.shm_next_id":              sysctl.None,
		"net":                             sysctl.None,
		"network.x":                       sysctl.None,
		"fs.mqueue":                       sysctl.None,
	} {
		if got := sysctl.Of(key); got != want {
			t.Errorf("%s is of %d, want %d", key, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"net.ipv4.ip_forward=1":                      {"net.ipv4.ip_forward", "1"},
		"net.ipv4.ping_group_range = 0   2147483647": {"net.ipv4.ping_group_range", "0   2147483647"},
		"kernel.domainname=a=b":                      {"kernel.domainname", "a=b"},
		"":                                           {},
		"net.ipv4.ip_forward":                        {},
		"net.ipv4.ip_forward=":                       {},
		"=1":                                         {},
		"net..x=1":                                   {},
		"net/../../etc=1":                            {},
		"net.x\x00=1":                                {},
		"net.x=a\x00":                                {},
		"net.x=" + strings.Repeat("1", 5000):         {},
	} {
		key, value, err := sysctl.Parse(text)
		if (err != nil) != (want[0] == "") || key != want[0] || value != want[1] {
			t.Errorf("%.60q is %q = %q, %v", text, key, value, err)
		}
	}
}

// FuzzParse: what is taken leads to a file below /proc/sys, and nowhere else.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"net.ipv4.ip_forward=1", "net/ipv4/conf/a.b/x = 1", "net/../x=1", ".=1", "a./b=c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, value, err := sysctl.Parse(text)
		if err != nil {
			return
		}
		for _, element := range sysctl.Split(key) {
			if element == "" || element == "." || element == ".." || strings.ContainsRune(element, 0) {
				t.Errorf("%q has the element %q", text, element)
			}
		}
		if value == "" || strings.TrimSpace(value) != value {
			t.Errorf("%q has the value %q", text, value)
		}
	})
}
