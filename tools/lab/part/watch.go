package part

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// heartbeat is how often a build that takes long says that it lives.
const heartbeat = 15 * time.Second

// watched runs cmd and says, now and then, how far it is. What the
// command says is in the error if it fails.
func watched(ctx context.Context, s Store, cmd *exec.Cmd) error {
	said := &transcript{}
	cmd.Stdout, cmd.Stderr = said, said
	begun := time.Now()
	ended := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return nil
			case <-ticker.C:
				s.say("        %s: %s", time.Since(begun).Round(time.Second), said.summary())
			}
		}
	})
	err := cmd.Run()
	close(ended)
	_ = group.Wait() // never an error
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.rest())
	}
	return nil
}

// transcript keeps what a command says and counts the modules it fetches.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	fetched int
}

const fetching = "go: downloading "

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fetched += bytes.Count(p, []byte(fetching))
	return t.text.Write(p)
}

func (t *transcript) summary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fetched > 0 {
		return fmt.Sprintf("still at it, %d modules fetched", t.fetched)
	}
	return "still at it"
}

// rest is all but the modules fetched.
func (t *transcript) rest() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest strings.Builder
	for line := range strings.Lines(t.text.String()) {
		if !strings.HasPrefix(line, fetching) {
			rest.WriteString(line)
		}
	}
	return rest.String()
}
