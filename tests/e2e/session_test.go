//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/jaeger"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// listed is a session as `trivet status --sessions --json` shows it.
type listed struct {
	Kind        string `json:"kind"`
	PodName     string `json:"pod_name"`
	Container   string `json:"container_name"`
	Command     string `json:"command"`
	Client      string `json:"client"`
	Protocol    string `json:"protocol"`
	BytesIn     int64  `json:"bytes_in"`
	BytesOut    int64  `json:"bytes_out"`
	Connections int64  `json:"connections"`
}

// sessionsOf asks for the sessions of a pod.
func sessionsOf(ctx context.Context, pod string) (map[string]listed, error) {
	out, err := stage.Group.TrivetCommand(ctx, "status", "--sessions", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("ask for sessions: %w", err)
	}
	var all struct {
		Sessions []listed `json:"sessions"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	found := make(map[string]listed)
	for _, s := range all.Sessions {
		if s.PodName == pod {
			found[s.Kind] = s
		}
	}
	return found, nil
}

// TestSessionsAreVisible: what is open is listed with the bytes that it has
// moved, and is a span of its URL's trace afterwards.
func TestSessionsAreVisible(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	traced, root, err := stage.Lab.StartTrace(ctx, "talk to container")
	ok(t, err)
	pod := runPod(t, stage.CRI(), "visible")
	container := need(pod.Run(ctx, "main"))(t)

	url := need(container.ExecURL(traced, false, true, "/bin/sh", "-c", "cat # secret"))(t)
	keys, typed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := stream.Session{Transport: stream.WebSocket, URL: url, Stdin: keys, Stdout: io.Discard, Stderr: io.Discard}.Run(ctx)
		ended <- err
	}()
	forward := need(stream.OpenForward(ctx, stream.SPDY, need(pod.PortForwardURL(traced, 9))(t), 9))(t)
	refused := need(forward.Dial(9))(t)
	_, _ = io.ReadAll(refused)
	need(fmt.Fprint(typed, "four"))(t)
	ok(t, harness.WaitFor(ctx, 30*time.Second, "the sessions", func(ctx context.Context) error {
		found, err := sessionsOf(ctx, "visible")
		if err != nil {
			return err
		}
		exec, forwarded := found["exec"], found["portforward"]
		if exec.Client == "" || forwarded.Client == "" {
			return fmt.Errorf("sessions are %+v", found)
		}
		exec.Client, forwarded.Client = "", ""
		if want := (listed{
			Kind: "exec", PodName: "visible", Container: "main", Command: "/bin/sh", Protocol: "websocket", BytesIn: 4, BytesOut: 4,
		}); exec != want {
			return fmt.Errorf("exec is %+v, want %+v", exec, want)
		}
		if want := (listed{Kind: "portforward", PodName: "visible", Protocol: "spdy", Connections: 1}); forwarded != want {
			return fmt.Errorf("port-forward is %+v, want %+v", forwarded, want)
		}
		return nil
	}))
	ok(t, forward.Close())
	ok(t, typed.Close())
	ok(t, <-ended)
	ok(t, harness.WaitFor(ctx, 30*time.Second, "the end of the sessions", func(ctx context.Context) error {
		if found, err := sessionsOf(ctx, "visible"); err != nil || len(found) > 0 {
			return fmt.Errorf("sessions are %v, error %w", found, err)
		}
		return nil
	}))
	ok(t, root.End())

	client := jaeger.Client{URL: stage.Lab.JaegerQuery}
	ok(t, harness.WaitFor(ctx, 30*time.Second, "the sessions' spans", func(ctx context.Context) error {
		trace, err := client.Get(ctx, root.ID)
		if err != nil {
			return err
		}
		for operation, call := range map[string]string{"exec session": "PrepareExec", "portforward session": "PreparePortForward"} {
			if !isBelow(trace, call, "trivet-streamer", operation) {
				return fmt.Errorf("no %s below %s", operation, call)
			}
		}
		for _, s := range trace.Spans {
			if s.Operation == "exec session" && (s.Tags["trivet.session.bytes_out"] != "4" || s.Tags["k8s.pod.name"] != "visible" || s.Tags["k8s.container.name"] != "main") {
				return fmt.Errorf("tags are %v", s.Tags)
			}
		}
		return nil
	}))
}
