package pump_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// TestLogSpoilt does to logs what a careless or hostile owner of the log
// directory may do. The container is held back while it lasts, nothing is
// written elsewhere, and all lines arrive when it is over.
func TestLogSpoilt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil, mend func(log string) error
		says        string
	}{
		"directory removed": {
			spoil: func(log string) error { return os.RemoveAll(filepath.Dir(log)) },
			mend:  func(log string) error { return os.Mkdir(filepath.Dir(log), 0o755) },
			says:  "directory",
		},
		"symbolic link": {
			spoil: func(log string) error {
				return errors.Join(os.Remove(log), os.Symlink(filepath.Join(filepath.Dir(log), "victim"), log))
			},
			mend: os.Remove,
			says: "too many levels of symbolic links",
		},
		"directory in its place": {
			spoil: func(log string) error { return errors.Join(os.Remove(log), os.Mkdir(log, 0o755)) },
			mend:  os.Remove,
			says:  "is a directory",
		},
		"FIFO in its place": {
			spoil: func(log string) error { return errors.Join(os.Remove(log), unix.Mkfifo(log, 0o600)) },
			mend:  os.Remove,
			says:  "not a regular file",
		},
		"disk read-only": {
			spoil: func(log string) error {
				return errors.Join(os.Remove(log), unix.Mount("tmpfs", filepath.Dir(log), "tmpfs", unix.MS_RDONLY, ""))
			},
			mend: func(log string) error { return unix.Unmount(filepath.Dir(log), unix.MNT_DETACH) },
			says: "read-only file system",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := run(t, t.TempDir())
			r := request(t)
			dir := filepath.Join(t.TempDir(), "pod")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			r.LogPath = filepath.Join(dir, "0.log")
			victim := filepath.Join(dir, "victim")
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // if it is still mounted on
			out := openShim(t, open(t, p, r).GetStdout())
			out.write(t, "before\n")
			eventually(t, "line", func() bool { return len(records(t, r.GetLogPath())) == 1 })
			if err := errors.Join(os.WriteFile(victim, []byte("mine"), 0o600), c.spoil(r.GetLogPath())); err != nil {
				t.Fatal(err)
			}
			out.write(t, "during\n")
			eventually(t, "trouble", func() bool {
				troubles, _ := p.Troubles()
				return len(troubles) == 1 && troubles[0].State == streamerv1.TroubledLog_STATE_HELD_BACK && strings.Contains(troubles[0].Err.Error(), c.says)
			})
			if text, err := os.ReadFile(victim); !errors.Is(err, fs.ErrNotExist) && string(text) != "mine" {
				t.Errorf("another file was written: %q, %v", text, err)
			}
			if err := c.mend(r.GetLogPath()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "line", func() bool {
				text, err := os.ReadFile(r.GetLogPath())
				return err == nil && strings.HasSuffix(string(text), " F during\n")
			})
			if troubles, dropped := p.Troubles(); len(troubles) > 0 || dropped > 0 {
				t.Errorf("troubles %+v, dropped %d", troubles, dropped)
			}
		})
	}
}
