package engine

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/trivet-cri/trivet/internal/config"
)

// RuntimeFeatures is what a handler's OCI runtime says that it can do:
// containerd runs the shim, which runs the OCI runtime's command "features".
// One that has no such command, or a shim that runs no OCI runtime, is
// errdefs.ErrNotImplemented.
func (e *Engine) RuntimeFeatures(ctx context.Context, handler config.Handler) (*features.Features, error) {
	runtime, err := runtimeOf(handler)
	if err != nil {
		return nil, err
	}
	request := &types.RuntimeRequest{RuntimePath: runtime.Name, Options: typeurl.MarshalProto(runtime.Options)}
	if handler.Path != "" {
		request.RuntimePath = handler.Path
	}
	response, err := e.client.IntrospectionService().PluginInfo(ctx, string(plugins.RuntimePluginV2), "task", request)
	if err != nil {
		return nil, fmt.Errorf("ask runtime %s for its features: %w", request.RuntimePath, err)
	}
	return featuresOf(request.RuntimePath, response.GetExtra())
}

// featuresOf unpacks the answer: features in a runtime's info.
func featuresOf(runtime string, extra *anypb.Any) (*features.Features, error) {
	var info types.RuntimeInfo
	if extra == nil {
		return nil, fmt.Errorf("runtime %s: containerd knows nothing of it: %w", runtime, errdefs.ErrNotImplemented)
	}
	if err := typeurl.UnmarshalTo(extra, &info); err != nil {
		return nil, fmt.Errorf("decode info of runtime %s: %w", runtime, err)
	}
	if info.GetFeatures() == nil {
		return nil, fmt.Errorf("runtime %s does not report features: %w", runtime, errdefs.ErrNotImplemented)
	}
	reported := &features.Features{}
	if err := typeurl.UnmarshalTo(info.GetFeatures(), reported); err != nil {
		return nil, fmt.Errorf("decode features of runtime %s: %w: %w", runtime, err, errdefs.ErrNotImplemented)
	}
	return reported, nil
}
