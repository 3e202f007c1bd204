package network_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
	"github.com/trivet-cri/trivet/runtime/network"
)

const (
	ingress = "kubernetes.io/ingress-bandwidth"
	egress  = "kubernetes.io/egress-bandwidth"
)

func TestAttach(t *testing.T) {
	t.Parallel()
	n, peer := newNetwork()
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:    &runtimeapi.PodSandboxMetadata{Name: "web", Namespace: "shop", Uid: "u1"},
		Annotations: map[string]string{"a": "b", ingress: "1M"},
		DnsConfig:   &runtimeapi.DNSConfig{Servers: []string{"10.0.0.10"}, Searches: []string{"shop.svc"}, Options: []string{"ndots:5"}},
		PortMappings: []*runtimeapi.PortMapping{
			{Protocol: runtimeapi.Protocol_UDP, ContainerPort: 53, HostPort: 5353, HostIp: "127.0.0.1"},
			{Protocol: runtimeapi.Protocol_TCP, ContainerPort: 80},
			{Protocol: runtimeapi.Protocol_SCTP, ContainerPort: 90, HostPort: 9090},
			{Protocol: runtimeapi.Protocol_TCP, ContainerPort: 91, HostPort: -1},
		},
		Linux: &runtimeapi.LinuxPodSandboxConfig{CgroupParent: "/kubepods"},
	}
	got, err := n.Attach(t.Context(), "id", cfg, "/run/netns/x", "/etc/cni/other")
	if err != nil || !slices.Equal(got.IPs, []string{"10.0.0.2"}) || got.Result != "{}" {
		t.Errorf("%+v, %v", got, err)
	}
	want := &netsyncv1.AttachRequest{
		Pod:       &netsyncv1.Pod{Id: "id", Namespace: "shop", Name: "web", Uid: "u1"},
		NetnsPath: "/run/netns/x", Network: "/etc/cni/other", CgroupParent: "/kubepods", Annotations: cfg.Annotations,
		PortMappings: []*netsyncv1.PortMapping{
			{Protocol: "udp", ContainerPort: 53, HostPort: 5353, HostIp: "127.0.0.1"}, {Protocol: "sctp", ContainerPort: 90, HostPort: 9090},
		},
		Bandwidth: &netsyncv1.Bandwidth{IngressRate: 1e6, IngressBurst: math.MaxUint32},
		Dns:       &netsyncv1.DNS{Servers: []string{"10.0.0.10"}, Searches: []string{"shop.svc"}, Options: []string{"ndots:5"}},
	}
	if !proto.Equal(peer.attached, want) {
		t.Errorf("asked for\n%v\nwant\n%v", peer.attached, want)
	}
	if _, err := n.Attach(t.Context(), "id", &runtimeapi.PodSandboxConfig{}, "", ""); err != nil || peer.attached.GetDns() != nil || peer.attached.GetBandwidth() != nil {
		t.Errorf("of nothing: %v, %v", peer.attached, err)
	}
}

func TestNoHostPorts(t *testing.T) {
	t.Parallel()
	peer := &netsync{}
	n := network.New(peer, config.Runtime{DisableHostPortMapping: true}, slog.New(slog.DiscardHandler))
	cfg := &runtimeapi.PodSandboxConfig{PortMappings: []*runtimeapi.PortMapping{{ContainerPort: 53, HostPort: 5353}}}
	if _, err := n.Attach(t.Context(), "id", cfg, "", ""); err != nil || len(peer.attached.GetPortMappings()) > 0 {
		t.Errorf("%v, %v", peer.attached, err)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	n, peer := newNetwork()
	asOf := time.Unix(1_700_000_000, 5)
	if err := n.Detach(t.Context(), "id", nil); err != nil || peer.detached.GetPod().GetId() != "id" {
		t.Errorf("detach: %v, %v", peer.detached, err)
	}
	removed, err := n.Sweep(t.Context(), []string{"a"}, asOf)
	if err != nil || !slices.Equal(removed, []string{"old"}) || !slices.Equal(peer.swept.GetPodIds(), []string{"a"}) || !peer.swept.GetAsOf().AsTime().Equal(asOf) {
		t.Errorf("sweep: %v, %v, %v", removed, peer.swept, err)
	}
	if err := n.SetPodCIDR(t.Context(), []string{"10.0.0.0/24"}); err != nil || !slices.Equal(peer.cidrs, []string{"10.0.0.0/24"}) {
		t.Errorf("CIDRs: %v, %v", peer.cidrs, err)
	}
	peer.err = errdefs.ErrUnavailable
	_, attach := n.Attach(t.Context(), "id", nil, "", "")
	_, sweep := n.Sweep(t.Context(), nil, asOf)
	for _, err := range []error{attach, sweep, n.Detach(t.Context(), "id", nil), n.SetPodCIDR(t.Context(), nil)} {
		if !errdefs.IsUnavailable(err) {
			t.Errorf("the kind is lost: %v", err)
		}
	}
}

func TestBandwidth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"1k": 1000, "1000": 1000, "10M": 10e6, "1Ki": 1024, "1.5M": 1.5e6, "1P": 1e15, "1e6": 1e6, "1000.4": 1001,
		"999": 0, "0": 0, "-1M": 0, "2P": 0, "1E": 0, "100m": 0, "": 0, "fast": 0, "10 M": 0, "1Mbit": 0, strings.Repeat("9", 100): 0,
	} {
		for _, key := range []string{ingress, egress} {
			n, peer := newNetwork()
			_, err := n.Attach(t.Context(), "id", &runtimeapi.PodSandboxConfig{Annotations: map[string]string{key: text}}, "", "")
			if want == 0 {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), key) || peer.attached != nil {
					t.Errorf("%s %q: %v", key, text, err)
				}
				continue
			}
			b := peer.attached.GetBandwidth()
			limits := &netsyncv1.Bandwidth{IngressRate: want, IngressBurst: math.MaxUint32}
			if key == egress {
				limits = &netsyncv1.Bandwidth{EgressRate: want, EgressBurst: math.MaxUint32}
			}
			if err != nil || !proto.Equal(b, limits) {
				t.Errorf("%s %q: %v, %v", key, text, b, err)
			}
		}
	}
}

func FuzzBandwidth(f *testing.F) {
	for _, seed := range []string{"1M", "10Ki", "1e6", "-5", "0x10", "1.0000000001k", "9999999999999999999", "1P", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, peer := newNetwork()
		_, err := n.Attach(t.Context(), "id", &runtimeapi.PodSandboxConfig{Annotations: map[string]string{egress: text}}, "", "")
		rate := peer.attached.GetBandwidth().GetEgressRate()
		switch {
		case err == nil && (rate < 1000 || rate > 1e15):
			t.Errorf("%q is a rate of %d", text, rate)
		case err != nil && (!errdefs.IsInvalidArgument(err) || peer.attached != nil || len(err.Error()) > 1000):
			t.Errorf("%q: %v", text, err)
		}
	})
}

// TestStatus follows a stream that breaks and comes back.
func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		peer := &netsync{}
		n := network.New(peer, config.Runtime{}, slog.New(slog.NewTextHandler(&log, nil)))
		if s := n.Status(); s.GetReady() || s.GetReason() != "NetSyncUnavailable" {
			t.Errorf("at first: %v", s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		time.Sleep(time.Minute)
		if s := n.Status(); s.GetReady() || s.GetMessage() != "watch netsync: "+errAway.Error() {
			t.Errorf("without netsync: %v", s)
		}
		if told := strings.Count(log.String(), "level=WARN"); told != 1 {
			t.Errorf("one absence is logged %d times", told)
		}
		for round := range 2 {
			status := peer.serve()
			status <- &netsyncv1.WatchStatusResponse{Ready: false, Reason: "NoNetwork", Message: "no configuration"}
			synctest.Wait()
			if s := n.Status(); s.GetReady() || s.GetReason() != "NoNetwork" {
				t.Errorf("round %d, not ready: %v", round, s)
			}
			status <- &netsyncv1.WatchStatusResponse{Ready: true, Attachments: 3}
			synctest.Wait()
			if s := n.Status(); !s.GetReady() || s.GetAttachments() != 3 {
				t.Errorf("round %d, ready: %v", round, s)
			}
			peer.leave()
			synctest.Wait()
			if s := n.Status(); s.GetReady() || s.GetReason() != "NetSyncUnavailable" {
				t.Errorf("round %d, gone: %v", round, s)
			}
		}
		status := peer.serve()
		status <- &netsyncv1.WatchStatusResponse{Ready: true}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if s := n.Status(); !s.GetReady() {
			t.Errorf("the end of this process is netsync's fault: %v", s)
		}
	})
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	n, _ := newNetwork()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := n.Run(ctx); err != nil {
		t.Error(err)
	}
}
