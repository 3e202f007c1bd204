package stream_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// commands plays a container: what the client is tested against is
// Kubernetes' own server.
type commands struct{}

func (commands) Exec(ctx context.Context, _ string, cmd []string, in io.Reader, out, stderr io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	switch cmd[0] {
	case "cat":
		_, err := io.Copy(out, in)
		return err
	case "swallow": // needs no end of input
		n, _ := io.ReadFull(in, make([]byte, len(cmd[1])))
		_, err := fmt.Fprint(out, n)
		return err
	case "fail":
		_, _ = io.WriteString(stderr, "no such thing")
		return utilexec.CodeExitError{Err: errors.New("exit 7"), Code: 7}
	case "size":
		size := <-resize
		_, err := fmt.Fprintf(out, "%dx%d", size.Width, size.Height)
		return err
	}
	<-ctx.Done()
	return errors.New("internal trouble")
}

func (c commands) Attach(ctx context.Context, id string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	return c.Exec(ctx, id, []string{"cat"}, in, out, err, tty, resize)
}

func (commands) PortForward(_ context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	if port != 80 {
		return fmt.Errorf("connection to port %d refused", port)
	}
	buffer := make([]byte, 4)
	if _, err := io.ReadFull(stream, buffer); err != nil {
		return err
	}
	_, err := stream.Write(bytes.ToUpper(buffer))
	return err
}

// serve starts a server and returns it with a function that signs requests.
func serve(t *testing.T) streaming.Server {
	t.Helper()
	config := streaming.DefaultConfig
	base := &url.URL{Scheme: "http"}
	config.BaseURL = base
	server, err := streaming.NewServer(config, commands{})
	if err != nil {
		t.Fatal(err)
	}
	http := httptest.NewServer(server)
	t.Cleanup(http.Close)
	base.Host = strings.TrimPrefix(http.URL, "http://")
	return server
}

func execURL(t *testing.T, server streaming.Server, tty bool, cmd ...string) string {
	t.Helper()
	reply, err := server.GetExec(&runtimeapi.ExecRequest{
		ContainerId: "c", Cmd: cmd, Tty: tty, Stdin: true, Stdout: true, Stderr: !tty,
	})
	if err != nil {
		t.Fatal(err)
	}
	return reply.GetUrl()
}

func TestSPDYHalfClosesInput(t *testing.T) {
	t.Parallel()
	input := make([]byte, 4<<20)
	_, _ = rand.Read(input)
	var output bytes.Buffer
	code, err := stream.Session{
		Transport: stream.SPDY, URL: execURL(t, serve(t), false, "cat"),
		Stdin: bytes.NewReader(input), Stdout: &output, Stderr: io.Discard,
	}.Run(t.Context())
	if err != nil || code != 0 {
		t.Fatalf("code %d, error %v", code, err)
	}
	if !bytes.Equal(output.Bytes(), input) {
		t.Fatalf("%d bytes came back of %d, or others", output.Len(), len(input))
	}
}

func TestWebSocketCarriesInput(t *testing.T) {
	t.Parallel()
	var output bytes.Buffer
	code, err := stream.Session{
		Transport: stream.WebSocket, URL: execURL(t, serve(t), false, "swallow", "12345"),
		Stdin: strings.NewReader("12345"), Stdout: &output, Stderr: io.Discard,
	}.Run(t.Context())
	if err != nil || code != 0 || output.String() != "5" {
		t.Fatalf("code %d, output %q, error %v", code, output.String(), err)
	}
}

func TestExitCodeAndStderr(t *testing.T) {
	t.Parallel()
	for _, transport := range []stream.Transport{stream.SPDY, stream.WebSocket} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			var failed bytes.Buffer
			code, err := stream.Session{
				Transport: transport, URL: execURL(t, serve(t), false, "fail"),
				Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &failed,
			}.Run(t.Context())
			if err != nil || code != 7 || failed.String() != "no such thing" {
				t.Fatalf("code %d, stderr %q, error %v", code, failed.String(), err)
			}
		})
	}
}

func TestResize(t *testing.T) {
	t.Parallel()
	for _, transport := range []stream.Transport{stream.SPDY, stream.WebSocket} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			sizes := make(chan stream.Size, 1)
			sizes <- stream.Size{Width: 132, Height: 43}
			var output bytes.Buffer
			code, err := stream.Session{
				Transport: transport, URL: execURL(t, serve(t), true, "size"), TTY: true,
				Stdin: strings.NewReader(""), Stdout: &output, Resize: sizes,
			}.Run(t.Context())
			if err != nil || code != 0 || output.String() != "132x43" {
				t.Fatalf("code %d, output %q, error %v", code, output.String(), err)
			}
		})
	}
}

func TestContextEndsSession(t *testing.T) {
	t.Parallel()
	for _, transport := range []stream.Transport{stream.SPDY, stream.WebSocket} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			server := serve(t)
			read, write := io.Pipe()
			session := stream.Session{
				Transport: transport, URL: execURL(t, server, false, "cat"),
				Stdin: read, Stdout: cancelOnWrite(cancel), Stderr: io.Discard,
			}
			go func() { _, _ = write.Write([]byte("now")) }()
			_, err := session.Run(ctx)
			_ = write.Close()
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v", err)
			}
		})
	}
}

type cancelOnWrite context.CancelFunc

func (c cancelOnWrite) Write(p []byte) (int, error) {
	c()
	return len(p), nil
}

func TestForward(t *testing.T) {
	t.Parallel()
	for _, transport := range []stream.Transport{stream.SPDY, stream.WebSocket} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			answer, failed := forward(t, transport, 80)
			if answer != "PING" || failed != nil {
				t.Fatalf("answer %q, error %v", answer, failed)
			}
			if _, failed := forward(t, transport, 81); failed == nil || !strings.Contains(failed.Error(), "port 81 refused") {
				t.Fatalf("error of a closed port is %v", failed)
			}
		})
	}
}

func forward(t *testing.T, transport stream.Transport, port int32) (string, error) {
	t.Helper()
	reply, err := serve(t).GetPortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "p", Port: []int32{port}})
	if err != nil {
		t.Fatal(err)
	}
	session, err := stream.OpenForward(t.Context(), transport, reply.GetUrl(), port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	conn, err := session.Dial(port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = conn.Write([]byte("ping"))
	_ = conn.CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer), conn.Err()
}
