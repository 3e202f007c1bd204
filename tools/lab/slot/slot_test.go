package slot_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tools/lab/slot"
)

func take(t *testing.T, base string, used ...netip.Prefix) *slot.Slot {
	t.Helper()
	s, err := slot.Take(base, used)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTwoLabsNeverMeet(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	first, second := take(t, base), take(t, base)
	if first.Number == second.Number || first.Subnet().Overlaps(second.Subnet()) || first.Bridge() == second.Bridge() ||
		first.Network() == second.Network() || first.Cgroup() == second.Cgroup() || first.Dir() == second.Dir() {
		t.Errorf("slots %d and %d share something", first.Number, second.Number)
	}
	number := first.Number
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if again := take(t, base); again.Number != number {
		t.Errorf("number %d was given back, and %d was taken", number, again.Number)
	}
}

func TestEverySubnetIsValidAndItsOwn(t *testing.T) {
	t.Parallel()
	seen := make(map[netip.Prefix]bool)
	for number := range slot.Count {
		subnet := (&slot.Slot{Number: number}).Subnet()
		if subnet != subnet.Masked() || !subnet.IsValid() || seen[subnet] {
			t.Errorf("subnet of %d is %s", number, subnet)
		}
		seen[subnet] = true
		if bridge := (&slot.Slot{Number: number}).Bridge(); len(bridge) > 15 {
			t.Errorf("%q is too long for an interface", bridge)
		}
	}
}

func TestTakeAvoidsSubnetsInUse(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	s := take(t, base, netip.MustParsePrefix("10.222.0.0/21"), netip.MustParsePrefix("192.168.0.0/16"))
	if s.Number != 2 {
		t.Errorf("took %d, whose subnet is %s", s.Number, s.Subnet())
	}
	if _, err := slot.Take(base, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); !errors.Is(err, slot.ErrNone) {
		t.Errorf("with all of 10.x in use: %v", err)
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	s := take(t, base)
	if owner := s.Owner(); owner != "" {
		t.Errorf("a new slot has owner %q", owner)
	}
	if err := s.SetOwner("/some/dir"); err != nil {
		t.Fatal(err)
	}
	if owner := s.Owner(); owner != "/some/dir" {
		t.Errorf("owner is %q", owner)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if again := take(t, base); again.Owner() != "" {
		t.Error("the owner is still there after an orderly end")
	}
	if _, err := os.Stat(filepath.Join(base, "0")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the slot's directory is left: %v", err)
	}
}

func TestAlone(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	first, second := take(t, base), take(t, base)
	called := 0
	count := func() error { called++; return nil }
	if err := first.Alone(count); err != nil || called != 0 {
		t.Errorf("called %d times beside another lab: %v", called, err)
	}
	// Having asked in vain, the first is still seen by others.
	if err := second.Alone(count); err != nil || called != 0 {
		t.Errorf("called %d times beside a lab that has asked itself: %v", called, err)
	}
	if err := second.Release(); err != nil {
		t.Fatal(err)
	}
	if err := first.Alone(count); err != nil || called != 1 {
		t.Errorf("called %d times alone: %v", called, err)
	}
	// The lock is shared again, so nobody waits for it.
	taken := make(chan error, 1)
	go func() {
		_, err := slot.Take(base, nil)
		taken <- err
	}()
	select {
	case err := <-taken:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a lab cannot start beside one that has asked to be alone")
	}
}
