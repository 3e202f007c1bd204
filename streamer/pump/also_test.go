package pump_test

import (
	"bytes"
	"os"
	"sync"
	"testing"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
)

// TestAlso: whoever wants it is given what is in the log, and nothing else.
func TestAlso(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var given bytes.Buffer
	r := request(t)
	p := configured(t, t.TempDir(), pump.Config{Also: func(of *streamerv1.Container, records []byte) {
		mu.Lock()
		defer mu.Unlock()
		given.Write(records)
		if of.GetId() != r.GetContainer().GetId() {
			t.Errorf("output of %s", of.GetId())
		}
	}})
	out := openShim(t, open(t, p, r).GetStdout())
	out.write(t, "one\ntwo\n")
	out.write(t, "three")
	out.close()
	mustClose(t, p, r.GetContainer().GetId())
	logged, err := os.ReadFile(r.GetLogPath())
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !bytes.Equal(logged, given.Bytes()) || bytes.Count(logged, []byte{'\n'}) != 3 {
		t.Errorf("given is %q, logged %q", given.String(), logged)
	}
}
