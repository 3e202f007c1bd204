package nri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// door is where plugins come in. The library accepts connections on a socket of
// its own, which nobody else can reach, and tells of none whose it is. So the
// door makes these connections, one at a time, and joins each with that to a
// plugin: it knows who is behind it, and can close it.
type door struct {
	peers *peers
	inner string        // the library's socket
	turn  chan struct{} // holds a token while the library is to accept
}

// serve lets plugins in that come by themselves, until the listener is closed.
// work runs what lasts as long as a connection.
func (d *door) serve(life context.Context, listener net.Listener, work func(func()), failed func(error)) {
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			work(func() {
				if err := d.join(life, conn, nil); err != nil && life.Err() == nil {
					failed(err)
				}
			})
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		failed(fmt.Errorf("accept NRI plugin: %w", err))
		select {
		case <-life.Done():
		case <-time.After(acceptPause):
		}
	}
}

// acceptPause follows a failure to accept, as without file descriptors.
const acceptPause = time.Second

// join joins a plugin's connection with the library, and returns when either
// side has closed it or life ends. Both ends are closed then. who is nil for a
// plugin that has come by itself.
func (d *door) join(life context.Context, conn net.Conn, who *launched) error {
	defer func() { _ = conn.Close() }() // it may be closed already
	inner, err := d.enter(life, who)
	if err != nil {
		return err
	}
	end := func() { _, _ = conn.Close(), inner.Close() }
	defer context.AfterFunc(life, end)()
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, inner}, {inner, conn}} {
		ways.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // an error is an end as well
			end()
		})
	}
	ways.Wait()
	return nil
}

// enter makes a connection to the library. It does not give up before the
// library has accepted it: else the next would be taken for this one.
func (d *door) enter(life context.Context, who *launched) (net.Conn, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-life.Done():
		return nil, context.Cause(life)
	}
	accepted := d.peers.expect(who)
	conn, err := net.Dial("unix", d.inner)
	if err != nil {
		return nil, fmt.Errorf("connect NRI plugin: %w", err)
	}
	select {
	case <-accepted:
		return conn, nil
	case <-life.Done():
		_ = conn.Close() // nothing was sent
		return nil, context.Cause(life)
	}
}

// forEach makes an option anew for each server that is to have it: ttrpc tells
// an interceptor nothing of whose server it serves.
func forEach[C any, O ~func(C) error](option func() O) O {
	return func(c C) error { return option()(c) }
}
