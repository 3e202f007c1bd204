// Package cri is the surface that kubelets call: it checks that a request is
// whole, calls the package of its noun, and translates the answer.
//
// The CRI is one interface of some forty methods. Here each noun has a type of
// its own, and Server is no more than their sum; whatever the nouns do not have
// answers Unimplemented. Errors carry errdefs kinds, which the server's
// interceptor maps to codes. Stop and Remove are idempotent: what does not exist
// is no error there.
package cri

import (
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Server is the whole RuntimeService.
type Server struct {
	*Node
	*Sandboxes
	*Containers
	*Streaming
	*Checkpoints
	*Stats
	rest
}

// rest is one level deeper than the nouns, so that they win.
type rest struct {
	runtimeapi.UnimplementedRuntimeServiceServer
}

// imageServer is the whole ImageService.
type imageServer struct {
	*Images
	restOfImages
}

type restOfImages struct {
	runtimeapi.UnimplementedImageServiceServer
}

// Register adds both services of the CRI to a gRPC server.
func Register(server grpc.ServiceRegistrar, node *Node, sandboxes *Sandboxes, containers *Containers, streaming *Streaming, checkpoints *Checkpoints, stats *Stats, images *Images) {
	runtimeapi.RegisterRuntimeServiceServer(server, &Server{
		Node: node, Sandboxes: sandboxes, Containers: containers, Streaming: streaming, Checkpoints: checkpoints, Stats: stats,
	})
	runtimeapi.RegisterImageServiceServer(server, &imageServer{Images: images})
}
