package pump_test

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// FuzzHandOver starts pumps on whatever is in the hand-over file: the
// container that is there must be resumed, and its line logged once.
func FuzzHandOver(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("\xff\xff\xff"))
	for _, shown := range [][]uint32{nil, {3}, {1 << 31, 1 << 31, 7}} {
		seed, err := proto.Marshal(&streamerv1.HandedPumps{
			At:         timestamppb.Now(),
			Containers: []*streamerv1.HandedContainer{{Id: "aa", Tickets: []string{"t", "t", ""}, Shown: shown}, {Id: "../x", Tickets: []string{"u"}}},
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		p := newPumps(t, dir)
		stop := start(t, p)
		r := request(t)
		r.Container.Id = "aa"
		out := openShim(t, open(t, p, r).GetStdout())
		stop()
		if err := os.WriteFile(filepath.Join(dir, "handover"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		out.write(t, "line\n")
		next := run(t, dir)
		eventually(t, "line in the log", func() bool { return len(records(t, r.GetLogPath())) == 1 })
		if _, err := os.Stat(filepath.Join(dir, "handover")); !os.IsNotExist(err) {
			t.Errorf("the file stays: %v", err)
		}
		out.close()
		mustClose(t, next, "aa")
	})
}
