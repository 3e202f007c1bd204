package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/wholefile"
)

// ledger is what has been changed, and for whom.
type ledger struct {
	// Original is what files had before: their path below the root, and text.
	Original map[string]string `json:"original,omitempty"`
	// Barred are processors that interrupts were kept from which got them before.
	Barred string `json:"barred,omitempty"`
	// Banned is what irqbalance's configuration said itself, nil while it says it.
	Banned *banned         `json:"banned,omitempty"`
	Held   map[string]held `json:"held,omitempty"` // by container
}

// held is what one container needs.
type held struct {
	Files map[string]string `json:"files,omitempty"` // text that files are to have
	Raise map[string]int64  `json:"raise,omitempty"` // quotas of pods, by how much
	NoIRQ string            `json:"no_irq,omitempty"`
	// Released are files that it needs nothing of any more, and that may not
	// be restored yet.
	Released []string `json:"released,omitempty"`
	// Isolated processors were taken from these cgroups, the uppermost first.
	Isolated string   `json:"isolated,omitempty"`
	Cgroups  []string `json:"cgroups,omitempty"`
}

// files are all that h needs something of, or has.
func (h held) files() []string {
	return slices.AppendSeq(slices.AppendSeq(slices.Clone(h.Released), maps.Keys(h.Files)), maps.Keys(h.Raise))
}

// wanted is the text that a file is to have for the containers that hold it;
// held is false if there are none.
func (l *ledger) wanted(file string) (text string, held bool) {
	raise := int64(0)
	for _, id := range slices.Sorted(maps.Keys(l.Held)) {
		h := l.Held[id]
		if text, ok := h.Files[file]; ok {
			return text, true
		}
		more, ok := h.Raise[file]
		raise, held = raise+more, held || ok
	}
	if !held {
		return "", false
	}
	return raised(l.Original[file], raise), true
}

// clone is a copy that can be changed; a published ledger never is.
func (l *ledger) clone() *ledger {
	next := *l
	next.Original, next.Held = maps.Clone(l.Original), maps.Clone(l.Held)
	if next.Original == nil {
		next.Original = make(map[string]string)
	}
	if next.Held == nil {
		next.Held = make(map[string]held)
	}
	return &next
}

// readLedger reads what an earlier process has left. What cannot be read is
// put aside.
func (t *Tuner) readLedger() (*ledger, error) {
	l := &ledger{}
	text, err := os.ReadFile(t.Ledger)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("read ledger of processors: %w", err)
	}
	if err := json.Unmarshal(text, l); err != nil {
		t.Log.Error("the ledger of processors is damaged, beginning a new one: what was tuned stays so until a reboot", "error", err)
		return &ledger{}, os.Rename(t.Ledger, t.Ledger+".damaged")
	}
	return l, nil
}

// keep makes next the ledger, on disk first.
func (t *Tuner) keep(next *ledger) error {
	text, err := json.Marshal(next)
	if err == nil {
		err = wholefile.Write(t.Ledger, text)
	}
	if err != nil {
		return fmt.Errorf("write ledger of processors: %w", err)
	}
	t.ledger.Store(next)
	return nil
}

// Held are the ids of containers for whom something is changed. It waits for
// nobody.
func (t *Tuner) Held() []string { return slices.Collect(maps.Keys(t.ledger.Load().Held)) }

// read is the text of a file of the machine's, without spaces around it.
func (t *Tuner) read(file string) (string, error) {
	text, err := os.ReadFile(filepath.Join(t.Root, file))
	return strings.TrimSpace(string(text)), err
}

// write writes a file of the kernel's, which is there already.
func (t *Tuner) write(file, text string) error {
	f, err := os.OpenFile(filepath.Join(t.Root, file), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q to %s: %w", text, file, err)
	}
	return nil
}

// gone tells whether what a file is about is not there any more.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }
