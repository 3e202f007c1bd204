// Package slot hands out numbers, one for each lab that runs on the machine.
// A lab's bridge, subnet, cgroup and socket directory are named after its
// number, so two labs never meet.
//
// The invariant: who holds the lock of a number owns everything that is named
// after it. So whatever is there of that name when the lock is taken was left
// by a lab that was killed, and goes. The kernel gives the lock back when the
// holder dies.
package slot

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Count is how many labs can run at a time.
const Count = 64

// Slot is a number that is held, and what is named after it.
type Slot struct {
	Number int
	base   string
	lock   *os.File
	shared *os.File
}

// ErrNone means that all numbers are taken or their subnets in use.
var ErrNone = errors.New("no free number for a lab")

// Take takes the first number that is free and whose subnet overlaps none of
// used. base is the directory of all locks, the same for every lab of the
// machine.
func Take(base string, used []netip.Prefix) (*Slot, error) {
	if err := os.MkdirAll(base, 0o711); err != nil {
		return nil, fmt.Errorf("take slot: %w", err)
	}
	shared, err := lockFile(filepath.Join(base, "labs.lock"), unix.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("take slot: %w", err)
	}
	for number := range Count {
		s := &Slot{Number: number, base: base, shared: shared}
		if overlaps(s.Subnet(), used) {
			continue
		}
		s.lock, err = lockFile(filepath.Join(base, strconv.Itoa(number)+".lock"), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("take slot %d: %w", number, err), shared.Close())
		}
	}
	return nil, errors.Join(ErrNone, shared.Close())
}

func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(file, how); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// flock is flock(2), which a signal may interrupt while it waits.
func flock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Dir is the slot's directory for short-lived files with short names, below
// the base.
func (s *Slot) Dir() string { return filepath.Join(s.base, strconv.Itoa(s.Number)) }

// Bridge is the name of the lab's bridge.
func (s *Slot) Bridge() string { return "tlab" + strconv.Itoa(s.Number) }

// Network is the name of the lab's CNI network. It does not
// end with the number, so that 1 is not found in 11.
func (s *Slot) Network() string { return "trivet-lab-" + strconv.Itoa(s.Number) + "-net" }

// Cgroup is the path of the lab's cgroup in every hierarchy.
func (s *Slot) Cgroup() string { return "/trivet-lab-" + strconv.Itoa(s.Number) }

// Subnet is the lab's own, for a thousand pods.
func (s *Slot) Subnet() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 222, byte(s.Number * 4), 0}), 22)
}

func overlaps(subnet netip.Prefix, used []netip.Prefix) bool {
	for _, other := range used {
		if subnet.Overlaps(other) {
			return true
		}
	}
	return false
}

// ownerFile has the directory of the lab that holds or held the number.
const ownerFile = "owner"

// SetOwner writes down which directory the holder uses, for who takes the
// number next if the holder is killed.
func (s *Slot) SetOwner(dir string) error {
	if err := os.MkdirAll(s.Dir(), 0o711); err != nil {
		return fmt.Errorf("write owner of slot %d: %w", s.Number, err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir(), ownerFile), []byte(dir), 0o600); err != nil {
		return fmt.Errorf("write owner of slot %d: %w", s.Number, err)
	}
	return nil
}

// Owner is the directory that was written down last; empty if the last holder
// ended in an orderly way.
func (s *Slot) Owner() string {
	text, err := os.ReadFile(filepath.Join(s.Dir(), ownerFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Alone calls do if no other lab runs; none can start meanwhile.
func (s *Slot) Alone(do func() error) error {
	err := unix.Flock(int(s.shared.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		err = do()
	case errors.Is(err, unix.EWOULDBLOCK):
		err = nil
	default:
		err = fmt.Errorf("look for other labs: %w", err)
	}
	// The kernel drops the shared lock before it tries the exclusive one, so it
	// must be taken again in either case.
	return errors.Join(err, flock(s.shared, unix.LOCK_SH))
}

// Release gives the number back. The lock files stay: to remove one that
// another process is about to lock would give two holders the same number.
func (s *Slot) Release() error {
	return errors.Join(os.RemoveAll(s.Dir()), s.lock.Close(), s.shared.Close())
}
