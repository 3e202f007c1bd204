//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/trivet-cri/trivet/tests/harness"
	"github.com/trivet-cri/trivet/tests/harness/stream"
)

// screen collects output and is searched while it grows.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func newScreen() *screen { return &screen{} }

// Write never fails.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// await waits until the output contains text, carriage returns aside.
func (s *screen) await(ctx context.Context, text string) error {
	return harness.Wait(ctx, fmt.Sprintf("%q on the screen", text), func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if shown := strings.ReplaceAll(s.text.String(), "\r", ""); !strings.Contains(shown, text) {
			return fmt.Errorf("it shows %q", shown)
		}
		return nil
	})
}

// console is a session with a shell, of exec or attach.
type console struct {
	*screen
	typed io.Writer
	sizes chan stream.Size
	ended chan struct{}
	code  int // valid after ended, as err
	err   error
}

// openConsole opens the session, 100 columns wide and 30 lines high.
func openConsole(ctx context.Context, t *testing.T, transport stream.Transport, url string) *console {
	t.Helper()
	keys, typed := io.Pipe()
	s := &console{screen: newScreen(), typed: typed, sizes: make(chan stream.Size, 1), ended: make(chan struct{})}
	session := stream.Session{Transport: transport, URL: url, TTY: true, Stdin: keys, Stdout: s.screen, Resize: s.sizes}
	go func() {
		defer close(s.ended)
		s.code, s.err = session.Run(ctx)
	}()
	s.sizes <- stream.Size{Width: 100, Height: 30}
	s.awaitSize(ctx, t, "30 100")
	return s
}

// awaitSize asks the shell for its size until it is the one wanted.
func (s *console) awaitSize(ctx context.Context, t *testing.T, want string) {
	t.Helper()
	awaitSize(ctx, t, s.typed, s.screen, want)
}

// exit has the shell exit with a code, and returns the session's.
func (s *console) exit(ctx context.Context, code int) (int, error) {
	if _, err := fmt.Fprintf(s.typed, "exit %d\n", code); err != nil {
		return 0, err
	}
	return s.result(ctx)
}

// result waits for the session's end.
func (s *console) result(ctx context.Context) (int, error) {
	select {
	case <-s.ended:
		return s.code, s.err
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the end of the console: %w", ctx.Err())
	}
}
