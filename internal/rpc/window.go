package rpc

import "google.golang.org/grpc"

// window is what may be under way on a connection, and in each call, in
// bytes. It is fixed, for otherwise gRPC measures the bandwidth: each message
// brings the sender a ping, which it answers, and for small calls over unix
// sockets that is much of their cost.
const window = 1 << 20

// Window are the options of a client with that window. Dial has them.
func Window() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window)}
}

// servedWindow are the same of a server.
func servedWindow() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window)}
}
