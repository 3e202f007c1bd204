package pump

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// interest is how a FIFO is watched.
type interest uint32

const (
	// quiet reports nothing but the writers' end, once.
	quiet interest = unix.EPOLLONESHOT
	// readable reports once that there is data. It is for an empty FIFO: a
	// writer that goes on wakes nobody until the pump is done.
	readable interest = unix.EPOLLIN | unix.EPOLLONESHOT
	// growing reports each write, and at once that there is data. It is for a
	// FIFO in which an unfinished line waits.
	growing interest = unix.EPOLLIN | unix.EPOLLET
)

// poller wakes pumps when their FIFOs have something. It is an epoll instance
// of its own because Go's cannot be told to be quiet: with it every small
// write of a busy container would wake a thread.
type poller struct {
	epoll, stop int

	mu      sync.RWMutex
	sources map[int32]func()
	next    int32
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make epoll: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}); err != nil {
		_ = unix.Close(epoll)
		_ = unix.Close(stop)
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return &poller{epoll: epoll, stop: stop, sources: map[int32]func(){}}, nil
}

// add watches fd, quietly at first. wake must not block. The key is for the
// other calls: unlike fd it is not used again.
func (p *poller) add(fd int, wake func()) (key int32, err error) {
	p.mu.Lock()
	p.next++
	key = p.next
	p.sources[key] = wake
	p.mu.Unlock()
	err = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: uint32(quiet), Fd: key})
	if err != nil {
		p.remove(fd, key)
		return 0, fmt.Errorf("watch fifo: %w", err)
	}
	return key, nil
}

// watch changes the interest in fd.
func (p *poller) watch(fd int, key int32, in interest) error {
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: uint32(in), Fd: key}); err != nil {
		return fmt.Errorf("watch fifo: %w", err)
	}
	return nil
}

// remove ends the watch on fd, which is still open.
func (p *poller) remove(fd int, key int32) {
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) // closing would do as well
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sources, key)
}

// run calls the wake functions until interrupt.
func (p *poller) run() error {
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(p.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for fifos: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == -1 {
				return nil
			}
			p.mu.RLock()
			wake := p.sources[event.Fd]
			p.mu.RUnlock()
			if wake != nil {
				wake()
			}
		}
	}
}

// interrupt makes run return.
func (p *poller) interrupt() error {
	if _, err := unix.Write(p.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("interrupt the poller: %w", err)
	}
	return nil
}

func (p *poller) close() error { return errors.Join(unix.Close(p.epoll), unix.Close(p.stop)) }
