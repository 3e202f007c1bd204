package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// typeLimit bounds the wait for the answer to a command.
const typeLimit = 20 * time.Second

// terminal runs crictl exec -it on a pseudo-terminal and types commands, as
// a person would; what the screen shows is shown here.
func (d *demo) terminal(ctx context.Context) error {
	cmd := d.group.CrictlCommand(ctx, "exec", "-i", "-t", d.clock.ID, "sh")
	keyboard, err := harness.StartOnTerminal(cmd, 40, 120)
	if err != nil {
		return err
	}
	defer func() { _ = keyboard.Close() }()
	screen := &screen{}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.MultiWriter(screen, &indented{}), keyboard) })
	for _, line := range []string{"", "hostname", "ip -4 -o addr show eth0", "wget -q -O - http://127.0.0.1/ | head -n 4", "stty size"} {
		if line != "" {
			if _, err := io.WriteString(keyboard, line+"\n"); err != nil {
				return err
			}
		}
		if err := screen.awaitPrompt(ctx); err != nil {
			return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
	}
	if _, err := io.WriteString(keyboard, "exit 0\n"); err != nil {
		return err
	}
	err = cmd.Wait()
	reading.Wait()
	return err
}

// screen remembers what was shown since the last prompt.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write never fails.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// awaitPrompt waits for the shell's prompt and forgets what was before it.
func (s *screen) awaitPrompt(ctx context.Context) error {
	return harness.WaitFor(ctx, typeLimit, "the shell's prompt", func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !strings.Contains(s.text.String(), "# ") {
			return fmt.Errorf("the screen shows %q", s.text.String())
		}
		s.text.Reset()
		return nil
	})
}

// forward sends a request through a port-forward.
func (d *demo) forward(ctx context.Context) error {
	url, err := d.pod.PortForwardURL(ctx, 80)
	if err != nil {
		return err
	}
	d.say("%s", url)
	session, err := stream.OpenForward(ctx, stream.SPDY, url, 80)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	defer context.AfterFunc(ctx, func() { _ = session.Close() })() // ends reads
	conn, err := session.Dial(80)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\nHost: demo\r\n\r\n"); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err := errors.Join(err, conn.Err()); err != nil {
		return err
	}
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	d.say("GET / → %s, %d bytes", strings.SplitN(head, "\r\n", 2)[0], len(body))
	if !strings.Contains(head, " 200 ") {
		return fmt.Errorf("the answer is %q", answer)
	}
	return nil
}
