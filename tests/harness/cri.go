package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CRI is a client of one CRI endpoint, Trivet's or the baseline's.
type CRI struct {
	runtimeapi.RuntimeServiceClient
	runtimeapi.ImageServiceClient
	// Endpoint is the path of the socket.
	Endpoint string
	lab      *Lab
	conn     *grpc.ClientConn
}

// DialCRI returns a client for the socket at path. It does not wait; calls
// fail like a kubelet's when nobody listens.
func DialCRI(path string, lab *Lab) (*CRI, error) {
	conn, err := grpc.NewClient("unix://"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to CRI at %s: %w", path, err)
	}
	return &CRI{
		RuntimeServiceClient: runtimeapi.NewRuntimeServiceClient(conn),
		ImageServiceClient:   runtimeapi.NewImageServiceClient(conn),
		Endpoint:             path, lab: lab, conn: conn,
	}, nil
}

// StartBaseline connects to the built-in plugin of a lab that was started
// with LabOptions.CRI and waits until it is ready.
func StartBaseline(ctx context.Context, lab *Lab) (*CRI, error) {
	cri, err := DialCRI(lab.ContainerdSocket, lab)
	if err != nil {
		return nil, err
	}
	if err := WaitFor(ctx, readyLimit, "the built-in plugin to be ready", cri.CheckReady); err != nil {
		return nil, errors.Join(err, cri.Close())
	}
	return cri, nil
}

// Close ends the connection.
func (c *CRI) Close() error { return c.conn.Close() }

// CheckReady returns an error unless runtime and network are ready.
func (c *CRI) CheckReady(ctx context.Context) error {
	reply, err := c.RuntimeServiceClient.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		return fmt.Errorf("CRI status: %w", err)
	}
	for _, condition := range reply.GetStatus().GetConditions() {
		ready := condition.GetType() == runtimeapi.RuntimeReady || condition.GetType() == runtimeapi.NetworkReady
		if ready && !condition.GetStatus() {
			return fmt.Errorf("CRI condition %s is false: %s: %s", condition.GetType(), condition.GetReason(), condition.GetMessage())
		}
	}
	return nil
}

// Pull pulls an image and returns its reference.
func (c *CRI) Pull(ctx context.Context, image string) (string, error) {
	reply, err := c.PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: image}})
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", image, err)
	}
	return reply.GetImageRef(), nil
}

// Purge stops and removes every pod of this endpoint.
func (c *CRI) Purge(ctx context.Context) error {
	list, err := c.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	var failed []error
	for _, item := range list.GetItems() {
		pod := &Pod{ID: item.GetId(), cri: c}
		failed = append(failed, pod.Remove(ctx))
	}
	return errors.Join(failed...)
}

// TempDir makes a directory for a pod's logs, below the lab's.
func (c *CRI) logDir(name string) (string, error) {
	dir, err := os.MkdirTemp(c.lab.Dir, "log-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("make log directory: %w", err)
	}
	return dir, nil
}
