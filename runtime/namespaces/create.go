package namespaces

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// create makes the namespaces on the calling thread, which must not be used
// for anything else afterwards.
func (p *Pins) create(ctx context.Context, r *Request) error {
	if err := p.prepare(r.ID, r.kinds()); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %w", err, errdefs.ErrAlreadyExists)
		}
		p.unpinLogged(ctx, r.ID)
		return err
	}
	if err := p.fill(ctx, r); err != nil {
		p.unpinLogged(ctx, r.ID)
		return err
	}
	return nil
}

// fill makes, sets up and pins what prepare has made room for.
func (p *Pins) fill(ctx context.Context, r *Request) error {
	// /proc/thread-self leads to the new namespaces of this thread, but for
	// the user namespace: no thread of a process may enter one alone.
	userPath := ""
	steps := []func() error{func() error { return r.unshare() }}
	if r.user() {
		owner := &holder{}
		defer owner.release()
		steps = []func() error{
			func() error { return owner.start(r) },
			func() error { userPath = owner.path("user"); return owner.enter(r.kinds()) },
		}
	}
	steps = append(steps, r.raiseLoopback, r.setHostname, func() error { return setSysctls(r, r.allSysctls()) })
	for _, k := range r.kinds() {
		steps = append(steps, func() error {
			from := "/proc/thread-self/ns/" + k.name
			if k.flag == unix.CLONE_NEWUSER {
				from = userPath
			}
			if err := unix.Mount(from, p.path(r.ID, k), "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("pin %s namespace: %w", k.name, err)
			}
			return nil
		})
	}
	for _, step := range steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// unshare puts the thread into new namespaces.
func (r *Request) unshare() error {
	flags := 0
	for _, k := range r.kinds() {
		flags |= k.flag
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("unshare: %w", limit(err))
	}
	return nil
}

// raiseLoopback sets lo up: nothing else does, and programs rely on it.
func (r *Request) raiseLoopback() error {
	if !r.Net {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set loopback up: socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	return nil
}

func (r *Request) setHostname() error {
	if !r.UTS || r.Hostname == "" {
		return nil
	}
	if err := unix.Sethostname([]byte(r.Hostname)); err != nil {
		return fmt.Errorf("set hostname %q: %w", r.Hostname, err)
	}
	return nil
}

// limit explains the kernel's odd word for too many namespaces.
func limit(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%w (sysctls user.max_*_namespaces): %w", err, errdefs.ErrResourceExhausted)
	}
	return err
}
