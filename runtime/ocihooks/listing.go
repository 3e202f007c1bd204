package ocihooks

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// listing are the files that count, by name.
type listing map[string]entry

type entry struct {
	path string
	info fs.FileInfo
}

// list looks into the directories, of which later ones win. What goes while
// it looks is not there.
func list(dirs []string) (listing, error) {
	found := make(listing)
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".json") {
				continue
			}
			path := filepath.Join(dir, e.Name())
			info, err := os.Stat(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			found[e.Name()] = entry{path, info}
		}
	}
	return found, nil
}

// print is another one when a file has changed.
func (l listing) print() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l)) {
		e := l[name]
		fmt.Fprintf(&text, "%q %d %d %d", e.path, e.info.ModTime().UnixNano(), e.info.Size(), e.info.Mode())
		if st, ok := e.info.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintf(&text, " %d %d %v", st.Dev, st.Ino, st.Ctim)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

func (e entry) read(name string) (hook, error) {
	if !e.info.Mode().IsRegular() {
		return hook{}, errors.New("is not a regular file")
	}
	text, err := os.ReadFile(e.path)
	if err != nil {
		return hook{}, err
	}
	one, err := parse(name, text)
	if err != nil {
		return hook{}, err
	}
	return one, one.check()
}
