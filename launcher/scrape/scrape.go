// Package scrape answers Prometheus for the whole group.
//
// Every process of a member serves its metrics on a socket of its own. Each
// time that somebody asks, all of them are asked, at the same time, and their
// answers get the labels member and pid. One that does not answer in time is
// left out, and trivet_member_up says so.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-cri/trivet/internal/metrics"
)

const (
	// askLimit bounds the wait for a member.
	askLimit = time.Second
	// answerLimit is what a member may say, in bytes.
	answerLimit = 16 << 20
)

// Gatherer gathers the metrics of the launcher and its members. It is safe
// for concurrent use.
type Gatherer struct {
	state string
	group Group
	own   prometheus.Gatherer
	log   *slog.Logger
}

// New returns a gatherer for the members of group, whose sockets are in the
// directory state.
func New(state string, group Group, log *slog.Logger) *Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{group})
	metrics.RegisterProcess(prometheus.WrapRegistererWith(launcherLabels(), registry))
	return &Gatherer{state: state, group: group, own: registry, log: log}
}

// Gather implements prometheus.Gatherer.
func (g *Gatherer) Gather() ([]*dto.MetricFamily, error) {
	sockets, err := metrics.Sockets(g.state)
	answers := make([]prometheus.Gatherer, len(sockets))
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	var asking sync.WaitGroup
	for i, socket := range sockets {
		asking.Go(func() {
			families, err := ask(ctx, socket)
			if err != nil {
				g.log.Debug("member does not say its metrics", "member", socket.Member, "pid", socket.PID, "error", err)
				return
			}
			answers[i] = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil })
		})
	}
	asking.Wait()
	all := prometheus.Gatherers{g.own, g.up(sockets, answers)}
	for _, answer := range answers {
		if answer != nil {
			all = append(all, answer)
		}
	}
	families, merging := all.Gather()
	return families, errors.Join(err, merging)
}

// up tells which members have answered.
func (g *Gatherer) up(sockets []metrics.Socket, answers []prometheus.Gatherer) prometheus.Gatherer {
	up := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "trivet_member_up", Help: "Whether the member's process has said its metrics within a second.",
	}, []string{"member"})
	for _, member := range g.group.Snapshot().Members {
		value := 0.0
		for i, socket := range sockets {
			if socket.Member == member.Name && socket.PID == member.PID && answers[i] != nil {
				value = 1
			}
		}
		up.WithLabelValues(member.Name).Set(value)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(up)
	return registry
}

// ask reads what one process has, and puts its labels on.
func ask(ctx context.Context, socket metrics.Socket) ([]*dto.MetricFamily, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket.Path)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+socket.Member+metrics.Path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for metrics: answer is %s", response.Status)
	}
	decoder := expfmt.NewDecoder(io.LimitReader(response.Body, answerLimit), expfmt.ResponseFormat(response.Header))
	var families []*dto.MetricFamily
	for {
		family := &dto.MetricFamily{}
		err := decoder.Decode(family)
		if errors.Is(err, io.EOF) {
			return families, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read metrics: %w", err)
		}
		for _, metric := range family.GetMetric() {
			label(metric, "member", socket.Member)
			label(metric, "pid", strconv.Itoa(socket.PID))
		}
		families = append(families, family)
	}
}

// label adds a label at its place: they are sorted.
func label(metric *dto.Metric, name, value string) {
	at, _ := slices.BinarySearchFunc(metric.Label, name, func(l *dto.LabelPair, name string) int {
		return strings.Compare(l.GetName(), name)
	})
	metric.Label = slices.Insert(metric.Label, at, &dto.LabelPair{Name: proto.String(name), Value: proto.String(value)})
}
