package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// templateAge is how long a container's process description is used
	// without asking again. A container id is never used twice and the
	// process of a container is fixed when it is created.
	templateAge = time.Minute
	// templateCount bounds the memory.
	templateCount = 1024
)

// templates remembers what an exec'd process inherits from its container:
// environment, user, capabilities, labels and limits. It saves a probe the
// reading and parsing of the container's whole record.
type templates struct {
	mu   sync.Mutex
	byID map[string]template
}

type template struct {
	process specs.Process // shared: replace fields, never change what they point to
	read    time.Time
}

func (t *templates) get(id string) (specs.Process, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.byID[id]
	if ok && time.Since(found.read) > templateAge {
		delete(t.byID, id)
		return specs.Process{}, false
	}
	return found.process, ok
}

func (t *templates) put(id string, process specs.Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil || len(t.byID) >= templateCount {
		t.byID = make(map[string]template)
	}
	t.byID[id] = template{process, time.Now()}
}

func (t *templates) drop(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// process describes a process that runs cmd as the container's own would.
func (e *Engine) process(ctx context.Context, container string, cmd []string, terminal bool) (*specs.Process, error) {
	process, ok := e.templates.get(container)
	if !ok {
		var err error
		if process, err = e.readProcess(ctx, container); err != nil {
			return nil, err
		}
		e.templates.put(container, process)
	}
	process.Args = cmd
	process.CommandLine = ""
	process.ConsoleSize = nil
	process.Terminal = terminal
	if terminal {
		process.Env = withTerm(process.Env)
	}
	return &process, nil
}

func (e *Engine) readProcess(ctx context.Context, container string) (specs.Process, error) {
	reply, err := e.containers.Get(ctx, &containersapi.GetContainerRequest{ID: container})
	if errdefs.IsNotFound(err) {
		return specs.Process{}, fmt.Errorf("container %q: %w", container, errdefs.ErrNotFound)
	}
	if err != nil {
		return specs.Process{}, fmt.Errorf("read container %q: %w", container, err)
	}
	var spec struct {
		Process *specs.Process `json:"process"`
	}
	if err := json.Unmarshal(reply.GetContainer().GetSpec().GetValue(), &spec); err != nil {
		return specs.Process{}, fmt.Errorf("read OCI spec of container %q: %w", container, err)
	}
	if spec.Process == nil {
		return specs.Process{}, fmt.Errorf("OCI spec of container %q has no process: %w", container, errdefs.ErrFailedPrecondition)
	}
	return *spec.Process, nil
}

// withTerm sets TERM as a terminal's client expects it. The slice is not
// changed in place.
func withTerm(env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool { return strings.HasPrefix(entry, "TERM=") })
	return append(env, "TERM=xterm")
}
