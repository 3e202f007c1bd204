package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

const (
	// maxOutput is how much of a plugin's output is kept, in bytes.
	maxOutput = 4 << 20
	// orphanGrace is how long the output of a plugin that has ended is waited
	// for: a process that it left behind may hold the pipe open.
	orphanGrace = 2 * time.Second
	// busyPause is the pause before a plugin file that is being written is
	// tried again, busyTries how often.
	busyPause = 100 * time.Millisecond
	busyTries = 50
)

// Exec runs plugins as processes. It implements libcni's invoke.Exec: each
// run is a span whose context the plugin gets in TRACEPARENT, ends with its
// context together with all that it started, and dies with this process.
type Exec struct {
	version.PluginDecoder
	slots chan struct{} // nil without a limit
}

// NewExec returns an Exec for at most limit runs at the same time, 0 for no limit.
func NewExec(limit int) *Exec {
	e := &Exec{}
	if limit > 0 {
		e.slots = make(chan struct{}, limit)
	}
	return e
}

// FindInPath returns the path of a plugin's program.
func (e *Exec) FindInPath(plugin string, paths []string) (string, error) {
	path, err := invoke.FindInPath(plugin, paths)
	if err != nil {
		return "", &Error{Plugin: plugin, Cause: fmt.Errorf("not found in %s: %w", strings.Join(paths, ", "), ErrMissing)}
	}
	return path, nil
}

// ExecPlugin runs the program at path. Every error is an *Error.
func (e *Exec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	plugin, command := filepath.Base(path), variable(environ, "CNI_COMMAND")
	var stdout []byte
	run := func(ctx context.Context) error {
		release, err := e.slot(ctx, command)
		if err != nil {
			return &Error{plugin, command, fmt.Errorf("wait for other plugin runs (max_concurrency): %w", err)}
		}
		defer release()
		if stdout, err = runProgram(ctx, path, stdin, withTrace(ctx, environ)); err != nil {
			return &Error{plugin, command, err}
		}
		return nil
	}
	// STATUS is asked for every few seconds, on behalf of nobody.
	if command == "STATUS" {
		err := run(ctx)
		return stdout, err
	}
	attrs := append(attributesOf(ctx), attribute.String("cni.plugin", plugin), attribute.String("cni.command", command))
	err := telemetry.Span(ctx, "cni "+command+" "+plugin, run, attrs...)
	return stdout, err
}

// slot waits for a free slot. STATUS needs none: there is one at a time, and
// busy ADDs must not make the network look unready.
func (e *Exec) slot(ctx context.Context, command string) (func(), error) {
	if e.slots == nil || command == "STATUS" {
		return func() {}, nil
	}
	select {
	case e.slots <- struct{}{}:
		return func() { <-e.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// runProgram starts the program, again while its file is being written.
func runProgram(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	for try := 0; ; try++ {
		out, err := runOnce(ctx, path, stdin, environ)
		if !errors.Is(err, unix.ETXTBSY) || try == busyTries {
			return out, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(busyPause):
		}
	}
}

func runOnce(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	// The kernel sends Pdeathsig when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stdout, stderr := &limited{}, &limited{}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = environ
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	// The group: a plugin delegates to others, which must not outlive it.
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = orphanGrace
	begin := time.Now()
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return stdout.buffer.Bytes(), nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("cut off after %s: %w", time.Since(begin).Round(time.Millisecond), ctx.Err())
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return nil, err
	}
	return nil, pluginError(exit, stdout.buffer.Bytes(), stderr.buffer.Bytes())
}

// pluginError reads the error that a plugin has printed.
func pluginError(exit *exec.ExitError, stdout, stderr []byte) error {
	own := &types.Error{}
	if json.Unmarshal(stdout, own) == nil && (own.Msg != "" || own.Code != 0) {
		return own
	}
	said := strings.TrimSpace(string(stderr))
	if said == "" {
		said = strings.TrimSpace(string(stdout))
	}
	return fmt.Errorf("%w: %.1000q", exit, said)
}

// withTrace adds the span of ctx in the form that OpenTelemetry defines for
// environment variables.
func withTrace(ctx context.Context, environ []string) []string {
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	for key, value := range carrier {
		environ = append(environ, strings.ToUpper(key)+"="+value)
	}
	return environ
}

// limited keeps the first maxOutput bytes and swallows the rest.
type limited struct{ buffer bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.buffer.Len(); room > 0 {
		l.buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
