package shimio_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/streamer/shimio"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, right := range map[string]bool{
		"ttrpc+unix:///run/vm/task.sock": true,
		"grpc+unix:///s":                 true,
		"ttrpc+vsock://3:1024":           true,
		"grpc+vsock://4294967295:0":      true,
		"ttrpc+hvsock:///run/vm.sock:1":  true,

		"":                                          false,
		"/run/vm/task.sock":                         false,
		"unix:///run/vm/task.sock":                  false,
		"http+unix:///run/vm/task.sock":             false,
		"ttrpc+tcp://127.0.0.1:1":                   false,
		"ttrpc+unix://run/vm/task.sock":             false,
		"ttrpc+unix:///run/../task.sock":            false,
		"ttrpc+unix:///run/task.sock?id=1":          false,
		"ttrpc+unix:///run/a b":                     false,
		"ttrpc+unix:///" + strings.Repeat("x", 107): false,
		"ttrpc+vsock://3":                           false,
		"ttrpc+vsock://3:":                          false,
		"ttrpc+vsock://3:1:2":                       false,
		"ttrpc+vsock://-1:1024":                     false,
		"ttrpc+vsock://+3:1024":                     false,
		"ttrpc+vsock://3:4294967296":                false,
		"ttrpc+hvsock:///run/vm.sock":               false,
		"ttrpc+hvsock://vm.sock:1":                  false,
		"ttrpc+hvsock:///run/vm.sock:port":          false,
	} {
		e, err := shimio.Parse(text)
		if right != (err == nil) || err != nil && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
		if right && e.URL("c-stdin") != text+"?streaming_id=c-stdin" {
			t.Errorf("%q: url is %q", text, e.URL("c-stdin"))
		}
	}
	if err := shimio.Check(""); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"ttrpc+unix:///run/s", "grpc+vsock://3:1024", "ttrpc+hvsock:///run/s:5", "ttrpc+unix://", "+://:", "grpc+vsock://03:1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := shimio.Parse(text)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if e.String() != text || strings.Count(e.URL("x"), "?") != 1 || strings.ContainsAny(text, " \n\x00#%") {
			t.Fatalf("%q became %q", text, e.URL("x"))
		}
	})
}
