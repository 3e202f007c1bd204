package service

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// ListTroubledLogs implements the RPC.
func (s *Service) ListTroubledLogs(context.Context, *streamerv1.ListTroubledLogsRequest) (*streamerv1.ListTroubledLogsResponse, error) {
	troubles, dropped := s.pumps.Troubles()
	reply := &streamerv1.ListTroubledLogsResponse{DroppedBytes: dropped}
	for _, t := range troubles {
		log := &streamerv1.TroubledLog{Container: t.Container, LogPath: t.Path, State: t.State, DroppedBytes: t.Dropped}
		if !t.Since.IsZero() {
			log.Since = timestamppb.New(t.Since)
		}
		if t.Err != nil {
			log.Error = t.Err.Error()
		}
		reply.Logs = append(reply.Logs, log)
	}
	return reply, nil
}
