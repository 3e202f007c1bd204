// Package selinux gives pods and containers their SELinux labels.
//
//	Make ─▶ held (a level with its categories) ─▶ Release
//	Hold ─▶ (after a restart)
//
// Two categories in the level of its labels keep a pod from the files and
// processes of every other. The library that chooses them knows only those of
// this process's life, so what earlier ones gave out is held anew at recovery.
//
// Invariant: a level that somebody holds is chosen for nobody else; several may
// hold one only because requests name it. Nothing here fails midway: a Make
// that returns an error holds nothing.
package selinux

import (
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
)

// Library makes labels and keeps the levels that are in use; System does.
type Library interface {
	// Init makes labels, with a level that is not reserved unless options name
	// one, and reserves it. Both are empty where SELinux is off.
	Init(options []string, vm bool) (process, mount string, err error)
	// Reserve and Release are about the level of a label. Reserving one that
	// is reserved, or releasing one that is not, does nothing.
	Reserve(label string)
	Release(label string)
}

// Labels are those in use. All methods may be called concurrently, and on nil,
// which is SELinux switched off.
type Labels struct {
	library    Library
	categories int

	mu     sync.Mutex
	held   map[string]int // holders by level
	making int            // Makes under way, each of which takes a level for a moment
}

// New returns labels with pairs of that many categories, of which nobody holds
// one yet.
func New(library Library, categories int) *Labels {
	return &Labels{library: library, categories: categories, held: make(map[string]int)}
}

// Make returns labels as the options say and holds their level until Release.
// vm says that the process is a virtual machine's. field names the options in
// messages. Errors: InvalidArgument, ResourceExhausted (no categories left).
func (l *Labels) Make(field string, options *runtimeapi.SELinuxOption, vm bool) (spec.SELinux, error) {
	if err := Check(field, options); err != nil || l == nil {
		return spec.SELinux{}, err
	}
	if err := l.enter(); err != nil {
		return spec.SELinux{}, err
	}
	defer l.leave()
	process, mount, err := l.library.Init(list(options), vm)
	if err != nil {
		return spec.SELinux{}, fmt.Errorf("%s %v: make SELinux labels: %w: %w", field, options, err, errdefs.ErrInvalidArgument)
	}
	l.Hold(mount)
	return spec.SELinux{ProcessLabel: process, MountLabel: mount}, nil
}

// enter refuses when a Make could not find a free level: the library would look
// for one for ever.
func (l *Labels) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.making
	for level := range l.held {
		if l.mayChoose(level) {
			taken++
		}
	}
	if pairs := l.categories * (l.categories - 1) / 2; taken >= pairs {
		return fmt.Errorf("runtime.selinux_category_range %d: all %d pairs of SELinux categories are in use: %w",
			l.categories, pairs, errdefs.ErrResourceExhausted)
	}
	l.making++
	return nil
}

func (l *Labels) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.making--
}

// mayChoose tells whether the library might choose a level by itself.
func (l *Labels) mayChoose(level string) bool {
	var low, high int
	n, err := fmt.Sscanf(level, "s0:c%d,c%d", &low, &high)
	return err == nil && n == 2 && low < high && high < l.categories && level == fmt.Sprintf("s0:c%d,c%d", low, high)
}

// Hold holds the level of a label once more. A label without categories is
// nothing to hold.
func (l *Labels) Hold(label string) {
	level := levelOf(label)
	if l == nil || level == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[level]++
	l.library.Reserve(label)
}

// Release undoes one Make or Hold of a label.
func (l *Labels) Release(label string) {
	level := levelOf(label)
	if l == nil || level == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[level]--
	if l.held[level] <= 0 {
		delete(l.held, level)
		l.library.Release(label)
	}
}

// Held are the levels that somebody holds, in no order.
func (l *Labels) Held() []string {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]string, 0, len(l.held))
	for level := range l.held {
		all = append(all, level)
	}
	return all
}

// levelOf is the level of user:role:type:level, if it has categories.
func levelOf(label string) string {
	parts := strings.SplitN(label, ":", 4)
	if len(parts) < 4 || !strings.Contains(parts[3], ":c") {
		return ""
	}
	return parts[3]
}
