//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// TestSessionOfStoppedContainer: who was promised a session learns why there
// is none, and a session ends with its container.
func TestSessionOfStoppedContainer(t *testing.T) {
	for _, client := range []string{"spdy", "websocket"} {
		t.Run(client, func(t *testing.T) {
			ctx := limit(t, time.Minute)
			pod := runPod(t, stage.CRI(), "stopped")
			container := need(pod.Run(ctx, "main", func(c *runtimeapi.ContainerConfig) { c.Stdin = true }))(t)
			late := need(container.ExecURL(ctx, false, false, "true"))(t)
			lateAttach := need(container.AttachURL(ctx, false, false))(t)
			output := remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}

			exec, attach := make(chan error, 1), make(chan error, 1)
			begun := newScreen()
			target := need(container.ExecURL(ctx, false, false, "/bin/sh", "-c", "echo begun; sleep 1000"))(t)
			go func() {
				code, err := kubectl(ctx, client, target, remotecommand.StreamOptions{Stdout: begun, Stderr: io.Discard})
				if err == nil && code != 137 {
					err = fmt.Errorf("exit code %d", code)
				}
				exec <- err
			}()
			attached := need(container.AttachURL(ctx, false, false))(t)
			go func() {
				_, err := kubectl(ctx, client, attached, output)
				attach <- err
			}()
			ok(t, begun.await(ctx, "begun"))
			ok(t, container.Stop(ctx, 0))
			ok(t, <-exec)
			ok(t, <-attach)

			_, err := kubectl(ctx, client, late, output)
			says(t, err, "error executing command in container", container.ID)
			_, err = kubectl(ctx, client, lateAttach, output)
			says(t, err, "error attaching to container", container.ID)
			_, err = container.ExecURL(ctx, false, false, "true")
			says(t, err, container.ID, "does not run")
			_, err = container.AttachURL(ctx, false, false)
			says(t, err, container.ID, "does not run")
			created := need(pod.Create(ctx, "created"))(t)
			_, err = created.ExecURL(ctx, false, false, "true")
			says(t, err, created.ID, "does not run")
		})
	}
}

// TestForwardOfStoppedPod: connections end with the server, and the session
// tells why there are no more.
func TestForwardOfStoppedPod(t *testing.T) {
	ctx := limit(t, time.Minute)
	pod := runPod(t, stage.CRI(), "forward-stopped")
	container := need(pod.Run(ctx, "server", harness.Shell("echo up; exec nc -ll -p 8080 -e cat")))(t)
	ok(t, container.AwaitLog(ctx, "up"))
	forward := need(stream.OpenForward(ctx, stream.SPDY, need(pod.PortForwardURL(ctx, 8080))(t), 8080))(t)
	defer func() { _ = forward.Close() }()
	conn := need(forward.Dial(8080))(t)
	need(io.WriteString(conn, "ping"))(t)
	need(io.ReadFull(conn, make([]byte, 4)))(t)
	ok(t, pod.Stop(ctx))
	need(io.Copy(io.Discard, conn))(t)
	_ = conn.Close()
	conn = need(forward.Dial(8080))(t)
	need(io.Copy(io.Discard, conn))(t)
	says(t, conn.Err(), "8080", pod.ID)
}

// TestStreamingPort: thousands of silent connections and what else may come
// to the port harm nobody and leave nothing.
func TestStreamingPort(t *testing.T) {
	ctx := limit(t, 3*time.Minute)
	group := ownGroup(t)
	cri := group.CRI
	need(cri.Pull(ctx, harness.Busybox))(t)
	container := need(runPod(t, cri, "port").Run(ctx, "main"))(t)
	run := func() error {
		var out bytes.Buffer
		_, err := kubectl(ctx, "websocket", need(container.ExecURL(ctx, false, false, "echo", "served"))(t), remotecommand.StreamOptions{Stdout: &out, Stderr: io.Discard})
		if err == nil && out.String() != "served\n" {
			err = fmt.Errorf("output is %q", out.String())
		}
		return err
	}
	ok(t, run())
	member := need(group.Member(ctx, "streamer"))(t)
	descriptors := func() int { return len(need(os.ReadDir(fmt.Sprintf("/proc/%d/fd", member.GetPid())))(t)) }
	before := descriptors()
	base := need(url.Parse(need(container.ExecURL(ctx, false, false, "true"))(t)))(t)

	var conns []net.Conn
	for i := range 3000 {
		conn := need(net.Dial("tcp", base.Host))(t)
		conns = append(conns, conn)
		if i%3 == 0 {
			_, _ = io.WriteString(conn, "POST /exec/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
		}
	}
	if open := descriptors(); open > before+1100 {
		t.Errorf("%d file descriptors are open, %d were before", open, before)
	}
	ok(t, run())
	var requests sync.WaitGroup
	for range 20 {
		requests.Go(func() {
			request := need(http.NewRequestWithContext(ctx, http.MethodPost, "http://"+base.Host+"/exec/"+strings.Repeat("x", 100), nil))(t)
			request.Header.Set("X-Giant", strings.Repeat("x", 60<<10))
			response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
			if err != nil {
				return // closed while it still sends
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("a giant header gives %s", response.Status)
			}
		})
	}
	requests.Wait()
	ok(t, run())
	for _, conn := range conns {
		_ = conn.Close()
	}
	ok(t, harness.WaitFor(ctx, 30*time.Second, "file descriptors to be closed", func(context.Context) error {
		// Some come and go by themselves: of connections to shims, of logs.
		if after := descriptors(); after > before+5 {
			return fmt.Errorf("%d are open, %d were before", after, before)
		}
		return nil
	}))
	ok(t, run())
}
