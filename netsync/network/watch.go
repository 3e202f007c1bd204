package network

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long events must pause before the files are read: a
	// writer rarely writes once.
	settle = 25 * time.Millisecond
	// settleMax bounds that wait, should the events never pause.
	settleMax = 250 * time.Millisecond
)

// watcher tells when one of several directories may have changed. Where
// inotify fails, it tells nothing and the poll is all there is.
type watcher struct {
	dirs   []string
	log    *slog.Logger
	fs     *fsnotify.Watcher // nil while inotify is not to be had
	failed bool              // the failure has been logged
}

func newWatcher(dirs []string, log *slog.Logger) *watcher {
	w := &watcher{log: log}
	for _, dir := range dirs {
		w.dirs = append(w.dirs, filepath.Clean(dir)) // as events name it
	}
	return w
}

func (w *watcher) close() {
	if w.fs != nil {
		_ = w.fs.Close()
	}
}

// arm watches each directory that exists and the nearest parent that exists,
// where a missing directory will show up. It is called again after every
// change, because a watch ends with its directory.
func (w *watcher) arm(ctx context.Context) {
	if w.fs == nil {
		fs, err := fsnotify.NewWatcher()
		if err != nil {
			w.complain(ctx, "", err)
			return
		}
		w.fs = fs
	}
	var wanted []string
	for _, dir := range w.dirs {
		wanted = append(wanted, nearest(filepath.Dir(dir)))
		if isDir(dir) {
			wanted = append(wanted, dir)
		}
	}
	for _, path := range w.fs.WatchList() {
		if !slices.Contains(wanted, path) {
			_ = w.fs.Remove(path) // it may just have gone by itself
		}
	}
	complete := true
	for _, path := range wanted {
		// What vanished since it was looked at has left an event higher up,
		// or is found by the poll.
		if err := w.fs.Add(path); err != nil && isDir(path) {
			complete = false
			w.complain(ctx, path, err)
		}
	}
	if complete {
		w.failed = false
	}
}

func (w *watcher) complain(ctx context.Context, path string, err error) {
	if !w.failed {
		w.log.WarnContext(ctx, "cannot watch for changes of network configurations, polling only", "path", path, "error", err)
	}
	w.failed = true
}

// wait returns true when something may have changed or poll fires, false
// when ctx ends.
func (w *watcher) wait(ctx context.Context, poll <-chan time.Time) bool {
	for {
		var events chan fsnotify.Event
		var errs chan error
		if w.fs != nil {
			events, errs = w.fs.Events, w.fs.Errors
		}
		select {
		case <-ctx.Done():
			return false
		case <-poll:
			return true
		case err := <-errs: // an overflow: anything may have changed
			w.log.DebugContext(ctx, "watch of network configurations", "error", err)
			return w.settle(ctx)
		case event := <-events:
			if w.relevant(event) {
				return w.settle(ctx)
			}
		}
	}
}

// settle swallows events until they pause.
func (w *watcher) settle(ctx context.Context) bool {
	deadline := time.NewTimer(settleMax)
	defer deadline.Stop()
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-deadline.C:
			return true
		case <-quiet.C:
			return true
		case err := <-w.fs.Errors:
			w.log.DebugContext(ctx, "watch of network configurations", "error", err)
		case event := <-w.fs.Events:
			if w.relevant(event) {
				quiet.Reset(settle)
			}
		}
	}
}

// relevant tells whether event concerns a directory, something in it, or a
// directory on the way to it; a busy parent such as /etc has other children.
func (w *watcher) relevant(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	for _, dir := range w.dirs {
		if within(event.Name, dir) || within(dir, event.Name) {
			return true
		}
	}
	return false
}

// within tells whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// nearest is path or its nearest parent that exists.
func nearest(path string) string {
	for !isDir(path) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	return path
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
