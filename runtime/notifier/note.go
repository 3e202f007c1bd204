package notifier

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/trivet-cri/trivet/internal/wholefile"
)

// Report is what a container has used.
type Report struct {
	Used   map[string]uint64 // how often, by name
	Killed bool              // it was killed for that
}

// String is the form that people know from CRI-O: "swapoff (3x), swapon (1x)".
func (r Report) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Used)) {
		parts = append(parts, fmt.Sprintf("%s (%dx)", name, r.Used[name]))
	}
	return strings.Join(parts, ", ")
}

// note is what a file keeps of a notifier.
type note struct {
	Stop   bool              `json:"stop,omitempty"`
	Used   map[string]uint64 `json:"used,omitempty"` // counted when one is new
	Killed bool              `json:"killed,omitempty"`
}

func readNote(path string) (n note, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	if err != nil {
		return n, fmt.Errorf("read note of a seccomp notifier: %w", err)
	}
	return n, nil
}

// write replaces the note as a whole.
func (n note) write(path string) error {
	text, err := json.Marshal(n)
	if err == nil {
		err = wholefile.Write(path, text)
	}
	if err != nil {
		return fmt.Errorf("write note of a seccomp notifier: %w", err)
	}
	return nil
}
