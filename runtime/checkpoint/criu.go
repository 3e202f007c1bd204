package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/telemetry"
)

const (
	// runcShim is the shim whose API has checkpoints.
	runcShim = "io.containerd.runc.v2"
	// minMajor and minMinor are of the oldest CRIU that takes containers out of
	// a pod's namespaces and puts them into another's.
	minMajor, minMinor = 3, 16
	// askTime bounds how long a program may take to say what it can.
	askTime = 20 * time.Second
)

// CRIU tells whether checkpoints can be made and restored here. It remembers
// good news only, as long as the programs stay the same.
type CRIU struct {
	enabled bool
	mu      sync.Mutex
	good    map[string]bool // programs that are fit, as identity has them
}

// NewCRIU returns the support of a machine where the operator has enabled it.
func NewCRIU(enabled bool) *CRIU { return &CRIU{enabled: enabled, good: make(map[string]bool)} }

// Check returns errdefs.ErrNotImplemented, and names the missing piece, if
// containers of the handler cannot be checkpointed and restored.
func (c *CRIU) Check(ctx context.Context, handler config.Handler) error {
	if !c.enabled {
		return missing("runtime.enable_criu is false")
	}
	if handler.Type != runcShim {
		return missing("shims of type %q have none", handler.Type)
	}
	return telemetry.Span(ctx, "criu.check", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		criu := find("criu")
		if criu == "" {
			return missing("CRIU is not installed: there is no program criu on PATH")
		}
		if err := c.once(criu, func() error { return checkCRIU(ctx, criu) }); err != nil {
			return err
		}
		name := handler.Options.BinaryName
		if name == "" {
			name = "runc"
		}
		// The shim's PATH may have what ours lacks; then its error tells.
		if binary := find(name); binary != "" {
			return c.once(binary, func() error { return checkRuntime(ctx, binary) })
		}
		return nil
	})
}

func missing(format string, args ...any) error {
	return fmt.Errorf("checkpoints are not supported: "+format+": %w", append(args, errdefs.ErrNotImplemented)...)
}

// find is the path of a program, empty if it is not there.
func find(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if filepath.IsAbs(name) {
		return ""
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// once asks about a program until the answer was good.
func (c *CRIU) once(path string, ask func() error) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	identity := fmt.Sprintf("%s %d %s", path, info.Size(), info.ModTime())
	c.mu.Lock()
	good := c.good[identity]
	c.mu.Unlock()
	if good {
		return nil
	}
	if err := ask(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good[identity] = true
	return nil
}

var versionLine = regexp.MustCompile(`Version:\s*(\d+)\.(\d+)`)

func checkCRIU(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return missing("%s --version: %w", path, err)
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return missing("%s --version says %.80q", path, out)
	}
	major, _ := strconv.Atoi(string(match[1])) // digits, or 0 for too many
	minor, _ := strconv.Atoi(string(match[2]))
	if major < minMajor || major == minMajor && minor < minMinor {
		return missing("CRIU %d.%d is older than %d.%d", major, minor, minMajor, minMinor)
	}
	if out, err := exec.CommandContext(ctx, path, "check").CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("criu check: %w", context.Cause(ctx))
		}
		return missing("CRIU %d.%d cannot work on this kernel: %s: %w", major, minor, lastWords(out), err)
	}
	return nil
}

// lastWords are the errors in what a program has said.
func lastWords(out []byte) string {
	var said []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if _, text, found := strings.Cut(line, "Error ("); found && len(said) < maxReasons {
			said = append(said, text[:min(len(text), maxReason)])
		}
	}
	return strings.Join(said, "; ")
}

// checkpointAnnotations are those in which OCI runtimes tell whether they have
// checkpoints.
var checkpointAnnotations = []string{"org.opencontainers.runc.checkpoint.enabled", "run.oci.crun.checkpoint.enabled"}

// checkRuntime asks an OCI runtime for its features; one that is too old for
// that tells by its version what it was built with.
func checkRuntime(ctx context.Context, path string) error {
	var features struct {
		Annotations map[string]string `json:"annotations"`
	}
	out, err := exec.CommandContext(ctx, path, "features").Output()
	if err == nil && json.Unmarshal(out, &features) == nil {
		for _, key := range checkpointAnnotations {
			if value, told := features.Annotations[key]; told && value != "true" {
				return missing("OCI runtime %s is built without them", path)
			}
		}
		return nil
	}
	out, err = exec.CommandContext(ctx, path, "--version").Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("ask %s for its version: %w", path, err)
	}
	if strings.HasPrefix(string(out), "crun ") && !strings.Contains(string(out), "+CRIU") {
		return missing("OCI runtime %s is built without CRIU", path)
	}
	return nil
}
