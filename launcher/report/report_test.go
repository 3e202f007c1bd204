package report_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-cri/trivet/launcher/activity"
	"github.com/trivet-cri/trivet/launcher/report"
	launcherv1 "github.com/trivet-cri/trivet/proto/launcher/v1"
)

var update = flag.Bool("update", false, "write the expected files")

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }

// statuses by the name of their expected files.
var statuses = map[string]*launcherv1.StatusResponse{
	"restarted": {
		Generation: 3, Restarts: 2, Version: "1.2.3", StartedAt: ago(26*time.Hour + 5*time.Minute), Pid: 100,
		ConfigPath: "/etc/trivet/trivet.toml", CriSocket: "/run/trivet/trivet.sock",
		Members: []*launcherv1.Member{
			{Name: "netsync", Pid: 101, State: "serving", Critical: true, StartedAt: ago(90 * time.Second), Restarts: 2, LastExit: "asked to stop, exit code 0"},
			{Name: "streamer", State: "backoff", Restarts: 4, LastExit: "killed by SIGKILL: last line"},
			{Name: "runtime", Pid: 103, State: "starting", Critical: true, StartedAt: ago(250 * time.Millisecond)},
		},
		Elders: []*launcherv1.Elder{
			{Name: "streamer", Pid: 90, Generation: 1, Since: ago(49 * time.Hour), Draining: true},
			{Name: "streamer", Pid: 95, Generation: 2, Since: ago(91 * time.Second)},
		},
		History: []*launcherv1.Restart{
			{At: ago(49 * time.Hour), Reason: "netsync: exit code 1: no config", Generation: 2},
			{At: ago(91 * time.Second), Reason: "reload of /etc/trivet/trivet.toml", Generation: 3},
		},
	},
	"empty": {},
}

// runtimes have what runtime says for the statuses above.
var runtimes = map[string]*activity.Activity{
	"restarted": {
		Operations: []activity.Operation{
			{What: "run pod ns/name", Stage: "namespaces, files and network", Age: 83 * time.Second},
			{What: "create container web", Stage: "snapshot", Age: 40 * time.Millisecond},
		},
		Quarantine: []activity.Quarantined{{Kind: "pods", ID: "abc", Why: "read record:\n\tunexpected end"}},
		Network:    activity.Network{Ready: true, Attachments: 12, Networks: []string{"cluster"}},
		Logs: activity.Logs{Dropped: 4096, Troubled: []activity.TroubledLog{
			{Container: "web", Pod: "ns/name", Path: "/var/log/x", State: "dropped", Why: "append to log: no space left on device", Dropped: 4000},
			{Container: "fast", Pod: "ns/other", Path: "/var/log/y", State: "limited"},
		}},
	},
}

func TestReport(t *testing.T) {
	t.Parallel()
	for name, status := range statuses {
		var table, object strings.Builder
		var asked error
		if runtimes[name] == nil {
			asked = errors.New("runtime does not answer on /run/x.sock")
		}
		r := report.New(status, runtimes[name], asked, now)
		if err := r.WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteJSON(&object); err != nil {
			t.Fatal(err)
		}
		// Local times are the machine's.
		text := table.String()
		for _, h := range status.GetHistory() {
			text = strings.ReplaceAll(text, h.GetAt().AsTime().Local().Format(time.DateTime), h.GetAt().AsTime().Format(time.DateTime))
		}
		for file, got := range map[string]string{name + ".txt": text, name + ".json": object.String()} {
			expect(t, file, got)
		}
	}
}

// expect compares with a file of testdata.
func expect(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
	}
}
