package namespaces_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/runtime/namespaces"
)

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	with := func(key, value string) namespaces.Request {
		return namespaces.Request{Net: true, IPC: true, UTS: true, Sysctls: map[string]string{key: value}}
	}
	only := func(r namespaces.Request, key, value string) namespaces.Request {
		r.Sysctls = map[string]string{key: value}
		return r
	}
	inUser := func(r namespaces.Request) namespaces.Request {
		r.UIDs, r.GIDs = ids(200000), ids(300000)
		return r
	}
	mapped := func(uids, gids []specs.LinuxIDMapping) namespaces.Request {
		return namespaces.Request{Net: true, UIDs: uids, GIDs: gids}
	}
	for name, c := range map[string]struct {
		r    namespaces.Request
		says []string
	}{
		"nothing":               {namespaces.Request{}, []string{"namespaces"}},
		"long hostname":         {namespaces.Request{UTS: true, Hostname: strings.Repeat("h", 65)}, []string{"hostname", "hhh", "64"}},
		"net sysctl on host":    {only(namespaces.Request{IPC: true, UTS: true}, "net.ipv4.ip_forward", "1"), []string{"net.ipv4.ip_forward", `"1"`, "network"}},
		"IPC sysctl on host":    {only(namespaces.Request{Net: true, UTS: true}, "kernel.shmmax", "1"), []string{"kernel.shmmax", `"1"`, "IPC"}},
		"mqueue sysctl on host": {only(namespaces.Request{Net: true}, "fs.mqueue.msg_max", "1"), []string{"fs.mqueue.msg_max", "IPC"}},
		"UTS sysctl on host":    {only(namespaces.Request{Net: true}, "kernel.domainname", "x"), []string{"kernel.domainname", "UTS"}},
		"machine's sysctl":      {with("vm.swappiness", "1"), []string{"vm.swappiness", `"1"`}},
		"hostname by sysctl":    {with("kernel.hostname", "x"), []string{"kernel.hostname"}},
		"escape":                {with("net/../vm/swappiness", "1"), []string{"net/../vm/swappiness"}},
		"escape with dots":      {with("net.//.vm.swappiness", "1"), []string{"net.//.vm.swappiness"}},
		"empty key":             {with("", "1"), []string{`sysctl ""`}},
		"empty element":         {with("net..ipv4", "1"), []string{"net..ipv4"}},
		"empty value":           {with("net.ipv4.ip_forward", ""), []string{"net.ipv4.ip_forward"}},
		"long value":            {with("net.ipv4.ip_forward", strings.Repeat("1", 5000)), []string{"net.ipv4.ip_forward", "111"}},
		"unknown sysctl":        {with("net.ipv4.nonesuch", "1"), []string{"net.ipv4.nonesuch", `"1"`, "no such file"}},
		"directory":             {with("net.ipv4", "1"), []string{`"net.ipv4"`, "directory"}},
		"bad value":             {with("net.ipv4.ip_forward", "maybe"), []string{"net.ipv4.ip_forward", `"maybe"`, "invalid argument"}},
		"two values":            {with("net.ipv4.ip_forward", "1 1"), []string{"net.ipv4.ip_forward", `"1 1"`}},
		"bad IPC value":         {inUser(with("kernel.shmmax", "x")), []string{"kernel.shmmax", `"x"`}},
		"group outside":         {inUser(with("net.ipv4.ping_group_range", "0 65536")), []string{"ping_group_range", `"0 65536"`}},
		"uids only":             {mapped(ids(200000), nil), []string{"200000"}},
		"gids only":             {mapped(nil, ids(300000)), []string{"300000"}},
		"empty mapping":         {mapped([]specs.LinuxIDMapping{{HostID: 7}}, ids(1)), []string{"7"}},
		"mapping too far":       {mapped([]specs.LinuxIDMapping{{HostID: 7, Size: math.MaxUint32}}, ids(1)), []string{"4294967295"}},
		"overlap":               {mapped(append(ids(200000), ids(200000)...), ids(1)), []string{"200000"}},
		"ranges too many":       {mapped(manyRanges(341), ids(1)), []string{"uids"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pins, dir := newPins(t)
			c.r.ID = ident.New()
			_, err := pins.Create(t.Context(), c.r)
			wantError(t, err, errdefs.ErrInvalidArgument, c.says...)
			wantNothing(t, dir)
		})
	}
}

func manyRanges(n uint32) (ranges []specs.LinuxIDMapping) {
	for i := range n {
		ranges = append(ranges, specs.LinuxIDMapping{ContainerID: i * 2, HostID: i * 2, Size: 1})
	}
	return ranges
}

// countdown ends at its n-th look, so that each step is the one that fails.
type countdown struct {
	context.Context
	left *int
}

func (c countdown) Err() error {
	if *c.left--; *c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCreateStopsAtEachStep(t *testing.T) {
	t.Parallel()
	for user, want := range map[bool]int{false: 8, true: 10} {
		pins, dir := newPins(t)
		steps := 0
		for {
			left := steps
			id := ident.New()
			_, err := pins.Create(countdown{t.Context(), &left}, everything(id, user))
			if err == nil {
				if err := pins.Remove(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				break
			}
			wantNothing(t, dir)
			steps++
		}
		if steps != want {
			t.Errorf("user=%t: stopped at %d steps, want %d", user, steps, want)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	for _, id := range []string{"", "..", "../x", "x", "a/b", strings.Repeat("a", 65)} {
		_, createErr := pins.Create(t.Context(), namespaces.Request{ID: id, Net: true})
		_, _, pathsErr := pins.Paths(id)
		applyErr := pins.Apply(t.Context(), namespaces.Request{ID: id, Net: true})
		for _, err := range []error{createErr, pathsErr, applyErr, pins.Remove(t.Context(), id)} {
			wantError(t, err, errdefs.ErrInvalidArgument, "pod id")
		}
	}
	wantNothing(t, dir)
	if _, err := os.Lstat(filepath.Join(dir, "..", "x")); err == nil {
		t.Error("something was made outside")
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"relative", file, filepath.Join(file, "pods")} {
		if _, err := namespaces.New(dir); err == nil {
			t.Errorf("%s is taken", dir)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file in the way was changed: %v, %v", info, err)
	}
}

// The directory's modes hold whatever the umask is: checked with one that
// takes all away, in the way that does not touch other tests.
func TestModes(t *testing.T) {
	t.Parallel()
	pins, dir := newPins(t)
	id, paths := create(t, pins, everything(ident.New(), false))
	if err := unix.Unmount(paths.Net, 0); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		dir: os.ModeDir | 0o711, filepath.Join(dir, id): os.ModeDir | 0o711, filepath.Dir(paths.Net): os.ModeDir | 0o700, paths.Net: 0,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}
