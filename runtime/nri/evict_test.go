package nri_test

import (
	"context"
	"path"
	"slices"
	"testing"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// evictor is a plugin that wants containers evicted, which the stub has no way
// to say: it is put into its messages.
type evictor struct{ victim string }

func (e *evictor) evict() []*api.ContainerEviction {
	if e.victim == "" {
		return nil
	}
	return []*api.ContainerEviction{{ContainerId: "unknown"}, {ContainerId: e.victim, Reason: "it is in the way"}}
}

// answer edits what the plugin answers to a hook.
func (e *evictor) answer(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	answer, err := method(ctx, unmarshal)
	switch answer := answer.(type) {
	case *api.CreateContainerResponse:
		answer.Evict = e.evict()
	case *api.UpdateContainerResponse:
		answer.Evict = e.evict()
	}
	return answer, err
}

// ask edits what the plugin asks for unasked.
func (e *evictor) ask(ctx context.Context, r *ttrpc.Request, response *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	if path.Base(info.FullMethod) == "UpdateContainers" {
		payload, err := proto.Marshal(&api.UpdateContainersRequest{Evict: e.evict()})
		if err != nil {
			return err
		}
		r.Payload = payload
	}
	return invoke(ctx, r, response)
}

// TestEvict: a container that a plugin wants evicted is ended: with the answer
// to a creation or an update, and unasked.
func TestEvict(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	e := &evictor{}
	plugin := n.connect(t, "10", "evictor", func(p *plugin) {
		p.options = []stub.Option{stub.WithTTRPCOptions(
			[]ttrpc.ClientOpts{ttrpc.WithUnaryClientInterceptor(e.ask)}, []ttrpc.ServerOpt{ttrpc.WithUnaryServerInterceptor(e.answer)})}
	})
	p := n.run(t, "web")
	updated := n.start(t, p, "updated")
	for _, how := range []struct {
		name string
		do   func() error
	}{
		{"first", func() error { n.create(t, p, "first's successor"); return nil }},
		{"second", func() error { return n.containers.Update(t.Context(), updated, limits(8<<20), nil) }},
		{"third", func() error { _, err := plugin.stub.UpdateContainers(nil); return err }},
	} {
		victim := n.start(t, p, how.name)
		spared := n.start(t, p, how.name+"'s neighbour")
		e.victim = victim.ID
		if err := how.do(); err != nil {
			t.Errorf("%s: %v", how.name, err)
		}
		e.victim = ""
		if state := victim.State(); state.Phase != runtimeapi.ContainerState_CONTAINER_EXITED || state.ExitCode != 137 {
			t.Errorf("%s: %+v", how.name, state)
		}
		await(t, "the plugin to hear of the end", func() bool { return slices.Contains(plugin.story(), "stop "+how.name) })
		if !spared.Running() {
			t.Errorf("%s: the neighbour: %+v", how.name, spared.State())
		}
	}
}
