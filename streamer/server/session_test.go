package server_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/session"
)

var subject = &streamerv1.Container{Id: "c0", Name: "app", PodId: "b0", PodName: "web", PodNamespace: "shop", PodUid: "u0"}

// secretive is a command whose argument nobody should see.
func secretive(program string) *streamerv1.PrepareExecRequest {
	return &streamerv1.PrepareExecRequest{Container: subject, Cmd: []string{program, "--password=x"}, Stdin: true, Stdout: true, Stderr: true}
}

// awaitTraffic waits for what the one session counts: a client may be faster.
func (f *fixture) awaitTraffic(t *testing.T, want session.Traffic) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		list := f.sessions.List()
		if len(list) == 1 && list[0].Traffic == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("sessions are %+v, want traffic %+v", list, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestSessionIsDescribed: a session is listed with what it moves, in either
// protocol.
func TestSessionIsDescribed(t *testing.T) {
	t.Parallel()
	for protocol, talk := range map[string]func(t *testing.T, url string){
		"spdy": func(t *testing.T, url string) {
			s := openSPDY(t, url, false)
			_, _ = io.WriteString(s.stdin, "hello")
			if _, err := io.ReadFull(s.out, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		},
		"websocket": func(t *testing.T, url string) {
			conn := dialWebSocket(t, url)
			if err := conn.WriteMessage(websocket.BinaryMessage, []byte("\x00hello")); err != nil {
				t.Fatal(err)
			}
			for got := ""; !strings.HasSuffix(got, "hello"); {
				_, message, err := conn.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				got = string(message)
			}
		},
	} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			f := serve(t, config)
			talk(t, f.url(t, session.Exec, secretive("cat")))
			list := f.sessions.List()
			if len(list) != 1 {
				t.Fatalf("sessions are %v", list)
			}
			got := list[0]
			if got.Kind != session.Exec || got.Target() != "c0" || got.Subject.GetPodName() != "web" || got.Command != "cat" {
				t.Errorf("session is %+v", got)
			}
			if got.Protocol != protocol || got.Subprotocol != "v4.channel.k8s.io" || !strings.HasPrefix(got.Client, "127.0.0.1:") {
				t.Errorf("protocol %q %q of client %q", got.Protocol, got.Subprotocol, got.Client)
			}
			f.awaitTraffic(t, session.Traffic{In: 5, Out: 5})
		})
	}
}

func TestForwardIsDescribed(t *testing.T) {
	t.Parallel()
	f := serve(t, config)
	conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
	for _, id := range []string{"1", "2"} {
		data, _ := openPort(t, conn, "82", id)
		_, _ = io.WriteString(data, "ping")
		if _, err := io.ReadFull(data, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	got := f.sessions.List()[0]
	if got.Kind != session.PortForward || got.Target() != "b0" || got.Subprotocol != "portforward.k8s.io" {
		t.Errorf("session is %+v", got)
	}
	f.awaitTraffic(t, session.Traffic{In: 8, Out: 8, Connections: 2})
}

// TestSessionHasASpan: one for its life, failed if the session has.
func TestSessionHasASpan(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	otel.SetTracerProvider(provider) // other tests' spans go there, too
	f := serve(t, config)
	ctx, prepare := provider.Tracer("test").Start(t.Context(), "PrepareExec")
	url, err := f.URL(ctx, session.Exec, secretive("unknown"))
	if err != nil {
		t.Fatal(err)
	}
	prepare.End()
	s := openSPDY(t, url, false)
	_ = text(t, s.status)
	_ = s.conn.Close()
	for len(f.sessions.List()) > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	for _, span := range recorder.Ended() {
		if span.Name() != "exec session" || span.SpanContext().TraceID() != prepare.SpanContext().TraceID() {
			continue
		}
		if span.Parent().SpanID() != prepare.SpanContext().SpanID() || span.Status().Code != codes.Error {
			t.Errorf("parent %v, status %v", span.Parent(), span.Status())
		}
		got := make(map[string]string)
		for _, a := range span.Attributes() {
			got[string(a.Key)] = a.Value.String()
		}
		for key, want := range map[string]string{
			"k8s.pod.name": "web", "container.id": "c0", "trivet.session.kind": "exec", "trivet.session.command": "unknown",
			"trivet.session.protocol": "spdy", "trivet.session.subprotocol": "v4.channel.k8s.io", "trivet.session.bytes_in": "0",
		} {
			if got[key] != want {
				t.Errorf("attribute %s is %q, want %q", key, got[key], want)
			}
		}
		return
	}
	t.Error("no span")
}
