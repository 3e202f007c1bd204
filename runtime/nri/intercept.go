package nri

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/ttrpc"
	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-cri/trivet/internal/telemetry"
)

// intercept sees each call of one plugin. Those of one hook share its time: who
// is not reached within it is passed over, as if it had nothing to say, for the
// library would drop it for what others have taken.
func (one *peer) intercept(ctx context.Context, r *ttrpc.Request, response *ttrpc.Response, info *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
	method := path.Base(info.FullMethod)
	by, ok := ctx.Value(callsKey{}).(*calls)
	if !ok {
		if method == "Configure" && one.who != nil {
			configure(r, one.who.config)
		}
		err := one.call(ctx, method, r, response, invoke)
		one.observe(method, response, err)
		return err
	}
	if by.heard(one) {
		return nil
	}
	left := by.left()
	if left <= 0 {
		return by.passOver(one, method)
	}
	limited, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	err := one.call(limited, method, r, response, invoke)
	if errors.Is(err, context.DeadlineExceeded) && left < by.limit/2 {
		response.Status, response.Payload = nil, nil
		return by.passOver(one, method)
	}
	one.observe(method, response, err)
	if err == nil {
		by.add(one, method, response)
	}
	return err
}

// configure puts in the configuration of a program: the library takes it for a
// plugin that has come by itself and has its own.
func configure(r *ttrpc.Request, config string) {
	request := &api.ConfigureRequest{}
	if proto.Unmarshal(r.GetPayload(), request) != nil {
		return // the plugin will say so
	}
	request.Config = config
	if payload, err := proto.Marshal(request); err == nil {
		r.Payload = payload
	}
}

// call makes a call in a span. Its error is the connection's; what the plugin
// itself says is in the response.
func (one *peer) call(ctx context.Context, method string, r *ttrpc.Request, response *ttrpc.Response, invoke ttrpc.Invoker) error {
	one.peers.mu.Lock()
	name := one.name
	one.peers.mu.Unlock()
	var broken error
	_ = telemetry.Span(ctx, "nri.plugin "+method, func(ctx context.Context) error {
		broken = invoke(ctx, r, response)
		answer := codes.Code(response.GetStatus().GetCode())
		switch {
		case broken != nil || answer == codes.OK:
			return broken
		case answer == codes.DeadlineExceeded:
			// A plugin that minds its deadline and one that does not are both
			// late: whose clock is first must not make a difference.
			broken = fmt.Errorf("NRI plugin %s: %w", name, context.DeadlineExceeded)
		}
		return status.ErrorProto(response.GetStatus())
	}, attribute.String("nri.plugin", name))
	return broken
}

// observe keeps what a call tells of the plugin itself.
func (one *peer) observe(method string, response *ttrpc.Response, err error) {
	one.peers.mu.Lock()
	defer one.peers.mu.Unlock()
	switch {
	case err != nil:
		one.gone = one.gone || fatal(err)
	case method == "Configure":
		reply := &api.ConfigureResponse{}
		if proto.Unmarshal(response.GetPayload(), reply) == nil {
			one.events = api.EventMask(reply.GetEvents())
		}
		if one.events == 0 {
			one.events = api.ValidEvents
		}
	case method == "Synchronize":
		one.peers.synced = one
	}
}

// serve sees each call that one plugin makes. A program of plugin_path has the
// name of its file, whatever it says. Evictions that a plugin wants unasked, the
// library does not pass on.
func (one *peer) serve(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	var evictions []*api.ContainerEviction
	answer, err := method(ctx, func(message any) error {
		if err := unmarshal(message); err != nil {
			return err
		}
		switch request := message.(type) {
		case *api.RegisterPluginRequest:
			if one.who != nil {
				request.PluginIdx, request.PluginName = one.who.index, one.who.base
			}
		case *api.UpdateContainersRequest:
			evictions = request.GetEvict()
		}
		return nil
	})
	one.peers.evict(ctx, evictions)
	return answer, err
}
