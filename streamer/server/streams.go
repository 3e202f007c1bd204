package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/attach"
	"github.com/trivet-cri/trivet/streamer/exec"
	"github.com/trivet-cri/trivet/streamer/forward"
)

// maxPorts is what a WebSocket session's channel numbers, a byte, allow.
const maxPorts = 100

func (s *Server) serveExec(c *client, r *streamerv1.PrepareExecRequest) {
	options := &remotecommand.Options{Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(), TTY: r.GetTty()}
	remotecommand.ServeExec(c.response, c.request, execution{s.handlers.Exec, r, c}, r.GetContainer().GetPodName(), r.GetContainer().GetPodUid(),
		r.GetContainer().GetId(), r.GetCmd(), options, s.config.IdleTimeout, s.config.CreationTimeout, remotecommand.SupportedStreamingProtocols)
}

// execution is one exec session, as the library calls it.
type execution struct {
	exec    Exec
	request *streamerv1.PrepareExecRequest
	client  *client
}

// ExecInContainer implements remotecommand.Executor. Another exit code than
// 0 is an error that the library turns into a status for the client.
func (e execution) ExecInContainer(ctx context.Context, _, _, container string, _ []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	streams := exec.Streams{TTY: tty, Resize: resize}
	// A nil of the library's interfaces stays a nil.
	if e.request.GetStdin() && in != nil {
		streams.Stdin = e.client.session.Reader(in)
	}
	if e.request.GetStdout() && out != nil {
		streams.Stdout = e.client.session.Writer(out)
	}
	if e.request.GetStderr() && errOut != nil {
		streams.Stderr = e.client.session.Writer(errOut)
	}
	code, err := e.exec.Stream(ctx, e.request, streams)
	if err != nil {
		e.client.note(err)
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command in container %q exited with code %d", container, code), Code: code}
	}
	return nil
}

func (s *Server) serveAttach(c *client, r *streamerv1.PrepareAttachRequest) {
	options := &remotecommand.Options{Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr(), TTY: r.GetTty()}
	remotecommand.ServeAttach(c.response, c.request, attachment{s.handlers.Attach, r, c}, r.GetContainer().GetPodName(), r.GetContainer().GetPodUid(),
		r.GetContainer().GetId(), options, s.config.IdleTimeout, s.config.CreationTimeout, remotecommand.SupportedStreamingProtocols)
}

// attachment is one attach session, as the library calls it.
type attachment struct {
	attach  Attach
	request *streamerv1.PrepareAttachRequest
	client  *client
}

// AttachContainer implements remotecommand.Attacher.
func (a attachment) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	streams := attach.Streams{Resize: resize, Background: a.client.background}
	if a.request.GetStdin() && in != nil {
		streams.Stdin = a.client.session.Reader(in)
	}
	if a.request.GetStdout() && out != nil {
		streams.Stdout = a.client.session.Writer(out)
	}
	if a.request.GetStderr() && errOut != nil {
		streams.Stderr = a.client.session.Writer(errOut)
	}
	err := a.attach.Attach(ctx, a.request, streams)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		a.client.note(err)
	}
	return err
}

func (s *Server) serveForward(c *client, r *streamerv1.PreparePortForwardRequest) {
	if !wsstream.IsWebSocketRequest(c.request) {
		s.forwardSPDY(c, r)
		return
	}
	options := &portforward.V4Options{Ports: r.GetPorts()}
	if len(options.Ports) == 0 {
		var err error
		if options, err = portforward.NewV4Options(c.request); err != nil {
			c.refuse(err)
			return
		}
	}
	if len(options.Ports) > maxPorts {
		c.refuse(fmt.Errorf("%d ports in one session are more than %d", len(options.Ports), maxPorts))
		return
	}
	portforward.ServePortForward(c.response, c.request, connection{s.handlers.Forward, r, c}, r.GetPodId(), r.GetPodUid(),
		options, s.config.IdleTimeout, s.config.CreationTimeout, portforward.SupportedProtocols)
}

// connection is one port-forward session over WebSocket, as the library calls
// it for each connection in it.
type connection struct {
	forward Forward
	request *streamerv1.PreparePortForwardRequest
	client  *client
}

// PortForward implements portforward.PortForwarder.
func (f connection) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	if !f.client.begin() {
		return errGone
	}
	defer f.client.work.Done()
	// The protocol has no half-close.
	to := forward.Stream{ReadWriteCloser: f.client.session.Connection(stream), Abort: func() { _ = stream.Close() }}
	err := f.forward.Forward(f.client.ctx, f.request, port, to)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}
