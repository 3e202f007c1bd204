//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/trivet-cri/trivet/tests/harness"
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
