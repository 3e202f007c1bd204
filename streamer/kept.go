package main

import (
	"context"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/keeper"
	"github.com/trivet-cri/trivet/streamer/pump"
)

// kept are pumps whose FIFOs are kept open while no streamer runs.
type kept struct {
	*pump.Pumps
	starter *keeper.Starter
}

// Open has a keeper started with the first FIFOs.
func (k kept) Open(ctx context.Context, r *streamerv1.OpenIORequest) (*streamerv1.OpenIOResponse, error) {
	defer k.starter.Wake()
	return k.Pumps.Open(ctx, r)
}
