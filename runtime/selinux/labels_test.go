package selinux_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/selinux"
)

// library is a fake that chooses the first free pair of three categories. As
// the real one it would look for ever if there were none.
type library struct {
	mu       sync.Mutex
	reserved map[string]bool
	err      error
}

func newLibrary() *library { return &library{reserved: make(map[string]bool)} }

func (l *library) Init(options []string, vm bool) (process, mount string, err error) {
	if l.err != nil {
		return "", "", l.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	level := ""
	for _, o := range options {
		if named, ok := strings.CutPrefix(o, "level:"); ok {
			level = named
		}
	}
	free := []string{"s0:c0,c1", "s0:c0,c2", "s0:c1,c2"}
	for i := 0; level == ""; i++ {
		if !l.reserved[free[i]] {
			level = free[i]
		}
	}
	l.reserved[level] = true
	kind := "container_t"
	if vm {
		kind = "container_kvm_t"
	}
	return "system_u:system_r:" + kind + ":" + level, "system_u:object_r:container_file_t:" + level, nil
}

func (l *library) Reserve(label string) { l.set(label, true) }
func (l *library) Release(label string) { l.set(label, false) }

func (l *library) set(label string, reserved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved[strings.SplitN(label, ":", 4)[3]] = reserved
}

func TestLevelsAreNotShared(t *testing.T) {
	t.Parallel()
	labels := selinux.New(newLibrary(), 3)
	var made []string
	for range 3 {
		got, err := labels.Make("options", nil, false)
		if err != nil || !strings.Contains(got.ProcessLabel, ":container_t:") {
			t.Fatalf("got %+v, %v", got, err)
		}
		made = append(made, got.MountLabel)
	}
	slices.Sort(made)
	if len(slices.Compact(made)) != 3 {
		t.Errorf("got one twice: %q", made)
	}
	// The library would now search for ever.
	_, err := labels.Make("options", nil, false)
	if !errors.Is(err, errdefs.ErrResourceExhausted) || !strings.Contains(err.Error(), "all 3 pairs") {
		t.Errorf("got %v", err)
	}
	labels.Release(made[1])
	if got, err := labels.Make("options", nil, true); err != nil || got.MountLabel != made[1] || !strings.Contains(got.ProcessLabel, "kvm") {
		t.Errorf("after a release: got %+v, %v", got, err)
	}
}

func TestNamedLevelHasManyHolders(t *testing.T) {
	t.Parallel()
	l := newLibrary()
	labels := selinux.New(l, 3)
	options := &runtimeapi.SELinuxOption{Level: "s0:c0,c1"}
	first, err := labels.Make("options", options, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := labels.Make("options", options, false); err != nil {
		t.Fatal(err)
	}
	labels.Release(first.MountLabel)
	if !l.reserved["s0:c0,c1"] || !slices.Equal(labels.Held(), []string{"s0:c0,c1"}) {
		t.Errorf("its other holder lost it: %v, %q", l.reserved, labels.Held())
	}
	labels.Release(first.ProcessLabel) // the same level
	if l.reserved["s0:c0,c1"] || len(labels.Held()) > 0 {
		t.Errorf("held by nobody: %v, %q", l.reserved, labels.Held())
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	l := newLibrary()
	labels := selinux.New(l, 3)
	labels.Hold("system_u:object_r:container_file_t:s0:c0,c1")
	for _, without := range []string{"", "unlabelled", "system_u:object_r:container_file_t:s0"} {
		labels.Hold(without)
		labels.Release(without)
	}
	got, err := labels.Make("options", nil, false)
	if err != nil || !strings.HasSuffix(got.MountLabel, "s0:c0,c2") {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMakeFails(t *testing.T) {
	t.Parallel()
	l := newLibrary()
	l.err = errors.New("no policy")
	labels := selinux.New(l, 3)
	for range 4 { // and none of them counts
		_, err := labels.Make("linux.selinux_options", nil, false)
		if !errors.Is(err, errdefs.ErrInvalidArgument) || !errors.Is(err, l.err) || !strings.Contains(err.Error(), "linux.selinux_options") {
			t.Fatalf("got %v", err)
		}
	}
	if len(labels.Held()) > 0 {
		t.Errorf("held: %q", labels.Held())
	}
}

func TestOff(t *testing.T) {
	t.Parallel()
	var labels *selinux.Labels
	got, err := labels.Make("options", &runtimeapi.SELinuxOption{Type: "spc_t"}, true)
	if err != nil || got.ProcessLabel != "" || got.MountLabel != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	labels.Hold("u:r:t:s0:c1")
	labels.Release("u:r:t:s0:c1")
	if labels.Held() != nil {
		t.Errorf("got %q", labels.Held())
	}
	if _, err := labels.Make("options", &runtimeapi.SELinuxOption{Type: "a b"}, false); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("a bad type: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	labels := selinux.New(newLibrary(), 3)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 100 {
				got, err := labels.Make("options", nil, false)
				if err == nil {
					labels.Release(got.MountLabel)
				} else if !errors.Is(err, errdefs.ErrResourceExhausted) {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	if len(labels.Held()) > 0 {
		t.Errorf("held: %q", labels.Held())
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, good := range []*runtimeapi.SELinuxOption{
		nil,
		{User: "system_u", Role: "system_r", Type: "container-x.t", Level: "s0:c123,c456"},
		{Level: "s0"},
		{Level: "s0-s15"},
		{Level: "s0:c1.c5,c7"},
	} {
		if err := selinux.Check("options", good); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for want, bad := range map[string]*runtimeapi.SELinuxOption{
		"options.user \"a:b\"":    {User: "a:b"},
		"options.role \"a,b\"":    {Role: "a,b"},
		"options.type \"a\\\"b\"": {Type: `a"b`},
		"options.level \"c1\"":    {Level: "c1"},
		"options.level \"s0:c\"":  {Level: "s0:c"},
		"options.type \"aaaaaaa":  {Type: strings.Repeat("a", 256)},
	} {
		err := selinux.Check("options", bad)
		if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v: got %v, want %s", bad, err, want)
		}
	}
}
