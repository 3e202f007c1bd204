package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Jaeger says where Jaeger listens: host:port on loopback.
type Jaeger struct {
	OTLP  string // OTLP over gRPC
	Query string // the query API over HTTP
	other []string
}

// The flags of all addresses that Jaeger's all-in-one binds; the first two are
// OTLP and Query.
var jaegerFlags = []string{
	"collector.otlp.grpc.host-port", "query.http-server.host-port",
	"collector.otlp.http.host-port", "query.grpc-server.host-port",
	"collector.grpc-server.host-port", "collector.http-server.host-port",
	"admin.http.host-port",
}

// NewJaeger chooses free ports. They are free until somebody else takes them,
// so a Jaeger that does not come up is worth a second try with others.
func NewJaeger() (Jaeger, error) {
	var addresses []string
	for range jaegerFlags {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return Jaeger{}, fmt.Errorf("choose ports of Jaeger: %w", err)
		}
		defer func() { _ = listener.Close() }() // all at the end, so that they differ
		addresses = append(addresses, listener.Addr().String())
	}
	return Jaeger{OTLP: addresses[0], Query: addresses[1], other: addresses[2:]}, nil
}

// Args is the command line, without the program.
func (j Jaeger) Args() []string {
	args := []string{"--memory.max-traces=50000", "--log-level=warn"}
	for i, address := range append([]string{j.OTLP, j.Query}, j.other...) {
		args = append(args, "--"+jaegerFlags[i]+"="+address)
	}
	return args
}

// Env is the environment. Jaeger's traces of itself go nowhere: by default it
// would send them to a port outside of the lab, and not end before it has.
func (j Jaeger) Env() []string {
	return []string{
		"SPAN_STORAGE_TYPE=memory",
		"OTEL_TRACES_SAMPLER=always_off",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + j.OTLP,
		"OTEL_EXPORTER_OTLP_INSECURE=true",
		"OTEL_BSP_EXPORT_TIMEOUT=500",
	}
}

// Ready returns an error unless Jaeger takes spans and answers queries.
func (j Jaeger) Ready(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", j.OTLP)
	if err != nil {
		return fmt.Errorf("reach Jaeger: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+j.Query+"/api/services", nil)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	reply, err := client.Do(request)
	if err != nil {
		return errors.Join(fmt.Errorf("query Jaeger: %w", err), conn.Close())
	}
	if reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("query Jaeger: %s", reply.Status)
	}
	return errors.Join(err, reply.Body.Close(), conn.Close())
}
