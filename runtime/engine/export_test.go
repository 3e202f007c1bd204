package engine

import (
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/trivet-cri/trivet/internal/config"
)

// The pure parts, for tests.

func Deadline(limit time.Duration) grpc.UnaryClientInterceptor { return deadline(limit) }

func Pack(message proto.Message) (*anypb.Any, error) { return pack(message) }

func Decode(packed typeurl.Any, message proto.Message) error { return decode(packed, message) }

func RuntimeOf(handler config.Handler) (containers.RuntimeInfo, error) { return runtimeOf(handler) }

func ReadSpec(c *ContainerRecord, packed typeurl.Any) error { return c.readSpec(packed) }

func EventOf(envelope *events.Envelope) (TaskEvent, bool) { return taskEvent(envelope) }

func HeldLabels(labels map[string]string, snapshotter string, views []string) map[string]string {
	return heldLabels(labels, snapshotter, views)
}

func FeaturesOf(runtime string, extra *anypb.Any) (*features.Features, error) {
	return featuresOf(runtime, extra)
}

func ShimError(err error) error { return shimError(err) }
