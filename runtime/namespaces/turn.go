package namespaces

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// exclusively runs work when no other does for the pod, on a thread of its
// own that ends with it: a thread that has changed its namespaces must never
// run anything else. The kernel can hold work for long (a mount waits for all
// others); when ctx ends first, giveUp decides whether its result still
// counts. Close waits for work in any case.
func (p *Pins) exclusively(ctx context.Context, id string, work func() error, giveUp func() bool) error {
	if err := p.claim(ctx, id); err != nil {
		return err
	}
	result := make(chan error, 1)
	p.running.Go(func() {
		onOwnThread(func() {
			err := work()
			p.release(id)
			result <- err
		})
	})
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		if giveUp() {
			return context.Cause(ctx)
		}
		return <-result
	}
}

// claim waits for the pod's turn.
func (p *Pins) claim(ctx context.Context, id string) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.mu.Lock()
		other, taken := p.busy[id]
		if !taken {
			p.busy[id] = make(chan struct{})
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
		}
	}
}

func (p *Pins) release(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.busy[id])
	delete(p.busy, id)
}

// onOwnThread runs do on a thread that ends with the calling goroutine, which
// must do nothing else. It is never the main thread: that one cannot end, so
// it would hold the pod's namespaces for ever, and be what /proc/self shows.
func onOwnThread(do func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		do() // never unlocked, so the thread ends
		return
	}
	// As long as this goroutine keeps the main thread, another cannot get it.
	var other sync.WaitGroup
	other.Go(func() { onOwnThread(do) })
	other.Wait()
	runtime.UnlockOSThread()
}
