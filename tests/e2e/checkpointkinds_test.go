//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

// terminal is an edit: the container has one.
func terminal(c *runtimeapi.ContainerConfig) { c.Tty, c.Stdin = true, true }

// TestCheckpointTerminal: a container with a terminal goes on with one.
func TestCheckpointTerminal(t *testing.T) {
	if !criuWorks() {
		return // TestCheckpoint wants the error
	}
	ctx, cri := limit(t, time.Minute), stage.CRI()
	archive := filepath.Join(t.TempDir(), "terminal.tar")
	pod := runPod(t, cri, "terminal")
	container := need(pod.Run(ctx, "counter", terminal, harness.Shell(count)))(t)
	ok(t, container.AwaitLog(ctx, "2"))
	ok(t, checkpointed(ctx, cri, container, archive))
	ok(t, container.AwaitLog(ctx, strconv.Itoa(counted(ctx, t, container)+3)))

	_, err := pod.Create(ctx, "without", harness.Image(archive), harness.OwnCommand)
	says(t, err, "InvalidArgument", "config.tty is false, the checkpoint's is true")
	restored := need(pod.Run(ctx, "again", harness.Image(archive), harness.OwnCommand, terminal))(t)
	ok(t, restored.AwaitLog(ctx, strconv.Itoa(counted(ctx, t, restored)+3)))
	if out := need(restored.Output(ctx, "test -c /proc/1/fd/1 && readlink /proc/1/fd/1"))(t); !strings.HasPrefix(out, "/dev/pts/") {
		t.Errorf("the restored container writes to %q", out)
	}
}

// TestCheckpointConnected: what CRIU does not dump is named, and the container
// goes on.
func TestCheckpointConnected(t *testing.T) {
	if !criuWorks() {
		return // TestCheckpoint wants the error
	}
	ctx, cri := limit(t, time.Minute), stage.CRI()
	dir := t.TempDir()
	pod := runPod(t, cri, "connected")
	const established = `await() { until grep -q ":0007 .* $1 " /proc/net/tcp*; do sleep 0.05; done; }
		nc -l -p 7 -e sleep 1000 & await 0A; sleep 1000 | nc 127.0.0.1 7 & await 01; echo ready; wait`
	container := need(pod.Run(ctx, "main", harness.Shell(established)))(t)
	ok(t, container.AwaitLog(ctx, "ready"))
	says(t, checkpointed(ctx, cri, container, filepath.Join(dir, "x.tar")), "FailedPrecondition", "CRIU", "established TCP connection")
	if out := need(container.Output(ctx, "echo goes on"))(t); out != "goes on\n" {
		t.Errorf("got %q", out)
	}
	if left := need(os.ReadDir(dir))(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestCheckpointUserNamespace takes a checkpoint of a container with a user
// namespace, which cannot be restored.
func TestCheckpointUserNamespace(t *testing.T) {
	if !criuWorks() {
		return // TestCheckpoint wants the error
	}
	ctx, cri := limit(t, time.Minute), stage.CRI()
	ids := []*runtimeapi.IDMapping{{HostId: 300000, Length: 65536}}
	options := &runtimeapi.NamespaceOption{
		Pid:           runtimeapi.NamespaceMode_CONTAINER,
		UsernsOptions: &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids},
	}
	inside := func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext = &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: options}
	}
	archive := filepath.Join(t.TempDir(), "userns.tar")
	pod := runPod(t, cri, "userns", func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions = options })
	container := need(pod.Run(ctx, "counter", inside, harness.Shell(count)))(t)
	ok(t, container.AwaitLog(ctx, "2"))
	ok(t, checkpointed(ctx, cri, container, archive))
	ok(t, container.AwaitLog(ctx, strconv.Itoa(counted(ctx, t, container)+3)))
	_, err := pod.Create(ctx, "again", inside, harness.Image(archive), harness.OwnCommand)
	says(t, err, "Unimplemented", "user namespace cannot be restored")
}

// pushCheckpoint makes an image of an archive, as checkpointctl does, and
// pushes it to the lab's registry.
func pushCheckpoint(ctx context.Context, registry, repository, tag, archive string) error {
	layer, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
	if err != nil {
		return err
	}
	return push(ctx, registry, repository, tag, ocispec.Manifest{
		Config: described(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{described(ocispec.MediaTypeImageLayer, layer)},
		Annotations: map[string]string{"org.criu.checkpoint.container.name": "counter"},
	}, layer, config)
}

func described(kind string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// push sends a manifest and its blobs to the lab's registry.
func push(ctx context.Context, registry, repository, tag string, content ocispec.Manifest, blobs ...[]byte) error {
	content.Versioned, content.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	manifest, err := json.Marshal(content)
	if err != nil {
		return err
	}
	base := "http://" + registry + "/v2/" + repository
	for _, blob := range blobs {
		sum := sha256.Sum256(blob)
		if err := send(ctx, http.MethodPost, fmt.Sprintf("%s/blobs/uploads/?digest=sha256:%x", base, sum), "application/octet-stream", blob); err != nil {
			return err
		}
	}
	return send(ctx, http.MethodPut, base+"/manifests/"+tag, ocispec.MediaTypeImageManifest, manifest)
}

func send(ctx context.Context, method, url, kind string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", kind)
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(reply.Body)
	if reply.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s %s: %s: %s", method, url, reply.Status, said)
	}
	return errors.Join(err, reply.Body.Close())
}
