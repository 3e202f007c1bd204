package main

import (
	"context"

	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// tasks is runc's task service for processes whose streams may have URLs.
type tasks struct {
	api.TTRPCTaskService
	streams *streams
}

// RegisterTTRPC is part of shim.TTRPCService.
func (t tasks) RegisterTTRPC(server *ttrpc.Server) error {
	api.RegisterTTRPCTaskService(server, t)
	return nil
}

func (t tasks) Create(ctx context.Context, r *api.CreateTaskRequest) (*api.CreateTaskResponse, error) {
	if err := t.localize(&r.Stdin, &r.Stdout, &r.Stderr); err != nil {
		return nil, err
	}
	defer t.streams.opened(r.ID)
	return t.TTRPCTaskService.Create(ctx, r)
}

func (t tasks) Exec(ctx context.Context, r *api.ExecProcessRequest) (*emptypb.Empty, error) {
	if err := t.localize(&r.Stdin, &r.Stdout, &r.Stderr); err != nil {
		return nil, err
	}
	return t.TTRPCTaskService.Exec(ctx, r)
}

func (t tasks) Start(ctx context.Context, r *api.StartRequest) (*api.StartResponse, error) {
	if r.ExecID != "" {
		defer t.streams.opened(r.ExecID)
	}
	return t.TTRPCTaskService.Start(ctx, r)
}

// localize puts FIFOs in the place of URLs.
func (t tasks) localize(urls ...*string) error {
	for _, url := range urls {
		path, err := t.streams.path(*url)
		if err != nil {
			return err
		}
		*url = path
	}
	return nil
}

// Shutdown follows each container's end. The shim ends with its sandbox.
func (t tasks) Shutdown(context.Context, *api.ShutdownRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}
