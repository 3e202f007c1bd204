package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// oneLimit bounds one command, attachment or connection.
const oneLimit = 2 * time.Minute

// exec runs one command: mostly as probes do, some with streams, some that
// fail, and some whose client leaves.
func (s *site) exec(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, oneLimit)
	defer cancel()
	switch i % 20 {
	case 0:
		return s.stream(ctx, stream.SPDY)
	case 1:
		return s.stream(ctx, stream.WebSocket)
	case 2, 3:
		return s.leave(ctx, []stream.Transport{stream.SPDY, stream.WebSocket}[i%2])
	case 4:
		reply, err := s.commands.ExecSync(ctx, time.Minute, "false")
		return expect(err, reply.GetExitCode(), 1)
	case 5:
		if _, err := s.commands.ExecSync(ctx, time.Minute, "no such command"); err == nil {
			return errors.New("a command that does not exist has run")
		}
		return nil
	}
	reply, err := s.commands.ExecSync(ctx, time.Minute, "true")
	return expect(err, reply.GetExitCode(), 0)
}

func expect(err error, code int32, want int32) error {
	if err == nil && code != want {
		err = fmt.Errorf("exit code %d, want %d", code, want)
	}
	return err
}

// stream runs a command with input, output and an exit code.
func (s *site) stream(ctx context.Context, transport stream.Transport) error {
	url, err := s.commands.ExecURL(ctx, false, true, "/bin/sh", "-c", "read line; echo $line; exit 3")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	code, err := stream.Session{Transport: transport, URL: url, Stdin: strings.NewReader("line\n"), Stdout: &out, Stderr: io.Discard}.Run(ctx)
	if err == nil && out.String() != "line\n" {
		err = fmt.Errorf("output is %q", out.String())
	}
	return expect(err, int32(code), 3)
}

// leave runs a command that would last, and goes when it has said something.
func (s *site) leave(ctx context.Context, transport stream.Transport) error {
	url, err := s.commands.ExecURL(ctx, false, true, "/bin/sh", "-c", "echo up; exec sleep 1000")
	if err != nil {
		return err
	}
	return untilOutput(ctx, "up", stream.Session{Transport: transport, URL: url, Stdin: idle{ctx}, Stderr: io.Discard})
}

// attach joins the echo, says something, and leaves when it comes back.
func (s *site) attach(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, oneLimit)
	defer cancel()
	url, err := s.echo.AttachURL(ctx, false, true)
	if err != nil {
		return err
	}
	line := harness.Unique()[:16]
	transport := []stream.Transport{stream.SPDY, stream.WebSocket}[i%2]
	input := io.MultiReader(strings.NewReader(line+"\n"), idle{ctx})
	return untilOutput(ctx, line, stream.Session{Transport: transport, URL: url, Stdin: input, Stderr: io.Discard})
}

// untilOutput runs a session until its output has a text, and then leaves.
func untilOutput(ctx context.Context, text string, session stream.Session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := &watcher{text: text, seen: cancel}
	session.Stdout = watch
	_, err := session.Run(ctx)
	if !watch.found {
		return errors.Join(fmt.Errorf("session ended without %q in %d bytes", text, len(watch.got)), err)
	}
	return nil
}

// watcher calls seen when a text has been written to it.
type watcher struct {
	text  string
	seen  func()
	got   []byte
	found bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.got = append(w.got, p...)
	if !w.found && bytes.Contains(w.got, []byte(w.text)) {
		w.found = true
		w.seen()
	}
	return len(p), nil
}

// idle is input of somebody who does not type.
type idle struct{ ctx context.Context }

func (i idle) Read([]byte) (int, error) {
	<-i.ctx.Done()
	return 0, io.EOF
}

// forward opens a session with a connection that repeats what is sent, and
// some with one to a port where nobody listens.
func (s *site) forward(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, oneLimit)
	defer cancel()
	target := int32(port)
	if i%10 == 0 {
		target++
	}
	url, err := s.pod.PortForwardURL(ctx, target)
	if err != nil {
		return err
	}
	session, err := stream.OpenForward(ctx, []stream.Transport{stream.SPDY, stream.WebSocket}[i%2], url, target)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	defer context.AfterFunc(ctx, func() { _ = session.Close() })() // ends reads
	conn, err := session.Dial(target)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if target != port {
		if conn.Err() == nil {
			return errors.New("a connection to a closed port was made")
		}
		return nil
	}
	if _, err := io.WriteString(conn, "there and back"); err != nil {
		return err
	}
	answer := make([]byte, len("there and back"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != "there and back" {
		return fmt.Errorf("answer is %q", answer)
	}
	return nil
}
