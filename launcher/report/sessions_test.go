package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trivet-cri/trivet/launcher/report"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	web := &streamerv1.Container{Id: "c0ffee", Name: "app", PodId: "b0", PodNamespace: "shop", PodName: "web", PodUid: "u0"}
	for name, list := range map[string]*streamerv1.ListSessionsResponse{
		"nosessions": {},
		"sessions": {Pumps: 12, Sessions: []*streamerv1.Session{
			{
				Kind: "exec", Subject: web, Command: "sh\x1b[2J", Client: "10.0.0.1:40000", Protocol: "websocket", Subprotocol: "v5.channel.k8s.io",
				StartedAt: ago(49 * time.Hour), BytesIn: 999, BytesOut: 1000,
			},
			{
				Kind: "portforward", Subject: &streamerv1.Container{PodNamespace: "shop", PodName: "web"}, Client: "10.0.0.1:40001",
				Protocol: "spdy", Subprotocol: "portforward.k8s.io", StartedAt: ago(time.Minute), BytesIn: 12_345_678, BytesOut: 5 << 50, Connections: 3,
			},
			{Kind: "execsync", Subject: web, Command: "probe", StartedAt: ago(3 * time.Millisecond)},
		}},
	} {
		r := report.NewSessions(list, now)
		var table, object strings.Builder
		if err := r.WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		if err := r.WriteJSON(&object); err != nil {
			t.Fatal(err)
		}
		expect(t, name+".txt", table.String())
		expect(t, name+".json", object.String())
	}
}
