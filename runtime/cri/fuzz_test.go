package cri_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/runtime/container"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/cri"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	runtimespec "github.com/trivet-cri/trivet/runtime/spec"
)

// forgiving is a Machine that has whatever it is asked for, so that requests
// get far; it does nothing.
type forgiving struct{}

func (forgiving) Devices(path string) ([]specs.LinuxDevice, string, error) {
	if path == "/none" {
		return nil, "", fs.ErrNotExist
	}
	return []specs.LinuxDevice{{Path: path, Type: "c", Major: 1, Minor: 3}}, path, nil
}

func (forgiving) MountOf(path string) (runtimespec.MountPoint, error) {
	return runtimespec.MountPoint{Point: path, Shared: true}, nil
}

func (forgiving) SeccompProfile(string) (*specs.LinuxSeccomp, error) {
	return &specs.LinuxSeccomp{}, nil
}
func (forgiving) LoadAppArmor(string) error { return nil }

// rpcs are all that the CRI's server serves, by name, as a gRPC server has them.
type rpcs struct {
	unary   map[string]grpc.MethodHandler
	streams map[string]grpc.StreamHandler
	impl    map[string]any
}

func (r *rpcs) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		r.unary[m.MethodName], r.impl[m.MethodName] = m.Handler, impl
	}
	for _, m := range desc.Streams {
		r.streams[m.StreamName], r.impl[m.StreamName] = m.Handler, impl
	}
}

// names are all methods, in an order that new ones rarely change.
func (r *rpcs) names() []string {
	var all []string
	for name := range r.impl {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// serverStream is the far side of a stream that sends one request.
type serverStream struct {
	grpc.ServerStream
	ctx     context.Context
	request func(any) error
}

func (s serverStream) Context() context.Context     { return s.ctx }
func (s serverStream) SetHeader(metadata.MD) error  { return nil }
func (s serverStream) SendHeader(metadata.MD) error { return nil }
func (s serverStream) SendMsg(any) error            { return nil }
func (s serverStream) RecvMsg(m any) error {
	if s.request == nil {
		return io.EOF
	}
	return s.request(m)
}

// call makes one call of any kind. The response is nil for streams.
func (r *rpcs) call(ctx context.Context, name string, request func(any) error) (any, error) {
	handler, single := r.unary[name]
	if single && name != "ImageFsInfo" {
		return handler(r.impl[name], ctx, request, nil)
	}
	// Some streams only end with their client, and nobody measures images.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	var err error
	if single {
		_, err = handler(r.impl[name], ctx, request, nil)
	} else {
		err = r.streams[name](r.impl[name], serverStream{ctx: ctx, request: request})
	}
	if ctx.Err() != nil {
		return nil, nil
	}
	return nil, err
}

// victim is a node with a pod and a container of each state, for one request.
type victim struct {
	*server
	*rpcs
	places map[string]string // ids that requests name by placeholders
	dir    string
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	w, err := containertest.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.SELinux = true
	if err := os.MkdirAll(filepath.Join(w.ImageRoot(), "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.ImageRoot(), "etc", "passwd"), []byte("root:x:0:0::/root:/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{World: w, streamer: &streamer{}, edits: []func(*container.Deps){func(d *container.Deps) {
		d.Host.Seccomp, d.Host.AppArmor, d.Host.RecursiveReadOnly, d.Host.Swap = true, true, true, true
		d.Host.Machine = forgiving{}
	}}}
	s.begin(t)
	v := &victim{server: s, dir: t.TempDir(), rpcs: &rpcs{
		unary: make(map[string]grpc.MethodHandler), streams: make(map[string]grpc.StreamHandler), impl: make(map[string]any),
	}}
	n, _ := newNode()
	images := cri.NewImages(w.Images, podtest.Config().Handlers)
	cri.Register(v.rpcs, n, s.sandboxes, s.containers, s.streaming, s.checkpoints, s.stats(newKernel()), images)
	pod := s.pod(t, podtest.Sandbox("web"))
	v.places = map[string]string{
		"$pod": pod, "$created": s.create(t, pod, "created"), "$running": s.start(t, pod, "running"), "$exited": s.start(t, pod, "exited"),
	}
	must[*runtimeapi.StopContainerResponse](t)(
		s.containers.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: v.places["$exited"]}))
	return v
}

// tame fills in ids, and keeps what a request would write on this machine
// below the test's directory: its paths are the only thing that is real.
func (v *victim) tame(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			return true
		case field.IsList() && field.Kind() == protoreflect.MessageKind:
			for i := range value.List().Len() {
				v.tame(value.List().Get(i).Message())
			}
		case field.IsList() && field.Kind() == protoreflect.StringKind:
			for i, list := 0, value.List(); i < list.Len(); i++ {
				list.Set(i, protoreflect.ValueOfString(v.tamed(string(field.Name()), list.Get(i).String())))
			}
		case field.IsList():
		case field.Kind() == protoreflect.MessageKind:
			v.tame(value.Message())
		case field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(v.tamed(string(field.Name()), value.String())))
		}
		return true
	})
}

func (v *victim) tamed(field, text string) string {
	if id, ok := v.places[text]; ok {
		return id
	}
	inside := field == "container_path" || field == "image_sub_path" || field == "working_dir"
	outside := strings.Contains(field, "path") || strings.Contains(field, "location") || strings.Contains(field, "directory") || field == "image"
	if outside && !inside && filepath.IsAbs(text) {
		return filepath.Join(v.dir, filepath.Clean(text))
	}
	return text
}

// try makes the request and what a kubelet would do with what it has made.
func (v *victim) try(t *testing.T, name string, text []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	response, err := v.call(ctx, name, func(m any) error {
		message := m.(proto.Message)
		if err := proto.Unmarshal(text, message); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		v.tame(message.ProtoReflect())
		return nil
	})
	v.kind(t, name, err)
	if made, ok := response.(*runtimeapi.CreateContainerResponse); ok && err == nil {
		id := made.GetContainerId()
		_, err = v.containers.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
		v.kind(t, "StartContainer", err)
		_, err = v.containers.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id, Verbose: true})
		v.kind(t, "ContainerStatus", err)
	}
	if made, ok := response.(*runtimeapi.RunPodSandboxResponse); ok && err == nil {
		id := made.GetPodSandboxId()
		_, err = v.sandboxes.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
		v.kind(t, "PodSandboxStatus", err)
		_, err = v.containers.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: id, Config: containertest.Config("server")})
		v.kind(t, "CreateContainer", err)
	}
	v.clear(ctx, t)
}

// kind wants errors to say whose they are.
func (v *victim) kind(t *testing.T, name string, err error) {
	t.Helper()
	switch code := status.Code(rpc.ToGRPC(err)); code {
	case codes.Unknown, codes.Internal, codes.DeadlineExceeded, codes.Canceled, codes.DataLoss:
		t.Errorf("%s: %s: %v", name, code, err)
	}
}

// clear stops and removes all pods, also after a restart, and wants nothing left.
func (v *victim) clear(ctx context.Context, t *testing.T) {
	t.Helper()
	v.restart(t)
	for id := range v.process.Pods.All() {
		for range 2 {
			if _, err := v.sandboxes.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
				t.Errorf("stop pod: %v", err)
			}
		}
		for range 2 {
			if _, err := v.sandboxes.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
				t.Errorf("remove pod: %v", err)
			}
		}
	}
	if left := v.Leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	for kind, quarantined := range map[string]map[string]error{"pod": v.process.Pods.Quarantine(), "container": v.process.Containers.Quarantine()} {
		for id, why := range quarantined {
			t.Errorf("%s %s is in quarantine: %v", kind, id, why)
		}
	}
}

// FuzzRequests makes a call that nobody should make: it must not crash, must
// fail with the kind of a client's mistake, and whatever it makes can be
// stopped and removed.
func FuzzRequests(f *testing.F) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	for _, seed := range seeds() {
		text, err := proto.Marshal(seed.message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed.name, text)
	}
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		v := newVictim(t)
		defer func() {
			if err := v.process.Close(); err != nil {
				t.Error(err)
			}
		}()
		if names := v.names(); !slices.Contains(names, name) {
			// Mutated names choose among all.
			sum := 0
			for _, c := range []byte(name) {
				sum += int(c)
			}
			name = names[sum%len(names)]
		}
		v.try(t, name, text)
	})
}

// TestSeeds: the requests that the fuzzer starts from are good ones, and there
// is one for each call.
func TestSeeds(t *testing.T) {
	t.Parallel()
	tried := make(map[string]bool)
	for i, seed := range seeds() {
		tried[seed.name] = true
		t.Run(fmt.Sprintf("%s-%d", seed.name, i), func(t *testing.T) {
			v := newVictim(t)
			defer func() {
				if err := v.process.Close(); err != nil {
					t.Error(err)
				}
			}()
			message := proto.Clone(seed.message)
			v.tame(message.ProtoReflect())
			_, err := v.call(t.Context(), seed.name, func(m any) error {
				proto.Merge(m.(proto.Message), message)
				return nil
			})
			if code := status.Code(rpc.ToGRPC(err)); code != seed.code {
				t.Errorf("%s, want %s: %v", code, seed.code, err)
			}
			v.clear(t.Context(), t)
		})
	}
	v := newVictim(t)
	for _, name := range v.names() {
		if !tried[name] {
			t.Errorf("%s has no seed", name)
		}
	}
	if err := v.process.Close(); err != nil {
		t.Error(err)
	}
}
