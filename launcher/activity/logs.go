package activity

import (
	"slices"
	"strings"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

// logStatus is how a verbose status tells of logs.
type logStatus struct {
	Logs []struct {
		Container struct {
			Name         string `json:"name"`
			PodNamespace string `json:"pod_namespace"`
			PodName      string `json:"pod_name"`
		} `json:"container"`
		Path    string                       `json:"log_path"`
		State   streamerv1.TroubledLog_State `json:"state"`
		Why     string                       `json:"error"`
		Dropped uint64                       `json:"dropped_bytes"`
	} `json:"logs"`
	Dropped uint64 `json:"dropped_bytes"`
}

func (s *logStatus) logs() Logs {
	logs := Logs{Dropped: s.Dropped}
	for _, l := range s.Logs {
		state := strings.TrimPrefix(l.State.String(), "STATE_")
		logs.Troubled = append(logs.Troubled, TroubledLog{
			Container: l.Container.Name, Pod: l.Container.PodNamespace + "/" + l.Container.PodName, Path: l.Path,
			State: strings.ReplaceAll(strings.ToLower(state), "_", "-"), Why: l.Why, Dropped: l.Dropped,
		})
	}
	slices.SortFunc(logs.Troubled, func(a, b TroubledLog) int {
		return strings.Compare(a.Pod+"/"+a.Container, b.Pod+"/"+b.Container)
	})
	return logs
}
