package podfiles_test

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/podfiles"
)

// No value of a client makes a line, or a word, of its own.
func FuzzResolvConf(f *testing.F) {
	f.Add("192.0.2.1", "svc", "ndots:5")
	f.Add("a\nb", "a b", "")
	f.Fuzz(func(t *testing.T, server, search, option string) {
		store, _ := newStore(t, machine(t))
		pod := &runtimeapi.PodSandboxConfig{DnsConfig: &runtimeapi.DNSConfig{
			Servers: []string{server}, Searches: []string{search}, Options: []string{option},
		}}
		files, err := store.Create(t.Context(), ident.New(), pod, podfiles.Request{})
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		text, err := os.ReadFile(files.ResolvConf)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"search", search, "nameserver", server, "options", option}
		if got := strings.Fields(string(text)); strings.Join(got, "\n") != strings.Join(want, "\n") || strings.Count(string(text), "\n") != 3 {
			t.Fatalf("%q has fields %q", text, got)
		}
	})
}
