package shimio_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

// TestHypervisor connects through a socket of a hypervisor, which joins it
// with a port of its guest.
func TestHypervisor(t *testing.T) {
	t.Parallel()
	b := newBench(t, "ttrpc")
	path := filepath.Join(b.dir, "vm")
	listener, err := net.Listen("unix", path)
	b.ok(err)
	guest := strings.TrimPrefix(b.shim.Address, "ttrpc+unix://")
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { join(conn, guest) })
		}
	})
	b.shim.Address = "ttrpc+hvsock://" + path + ":1025"
	if _, err := b.open(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "1025") {
		t.Errorf("at the wrong port: %v", err)
	}
	b.shim.Address = "ttrpc+hvsock://" + path + ":1024"
	b.mustOpen()
	b.shim.Of("c-stdout").Write("from the guest")
	b.await("from the guest")
}

func join(conn net.Conn, guest string) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || line != "CONNECT 1024\n" {
		_, _ = fmt.Fprint(conn, "ERR no such port\n")
		return
	}
	to, err := net.Dial("unix", guest)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	_, _ = fmt.Fprint(conn, "OK 77\n")
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, to)
		_ = conn.Close()
	})
	_, _ = io.Copy(to, reader)
	_ = to.Close()
	back.Wait()
}
