package imagetest

import (
	"context"
	"testing"

	"github.com/trivet-cri/trivet/runtime/image"
)

// run runs a service until the test ends, and waits for its end.
func run(t *testing.T, service *image.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, "the end of the service", ended); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}
