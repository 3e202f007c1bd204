package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/trivet-cri/trivet/streamer/forward"
	"github.com/trivet-cri/trivet/streamer/server"
)

// dialers are kubectl's clients of port-forward.
var dialers = map[string]func(target *url.URL) (httpstream.Dialer, error){
	"spdy": func(target *url.URL) (httpstream.Dialer, error) {
		transport, upgrader, err := spdy.RoundTripperFor(anyServer(target))
		if err != nil {
			return nil, err
		}
		return spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, "POST", target), nil
	},
	"tunnel": func(target *url.URL) (httpstream.Dialer, error) {
		return portforward.NewSPDYOverWebsocketDialerForStreaming(target, anyServer(target))
	},
}

// anyServer has a client trust whom it reaches.
func anyServer(target *url.URL) *rest.Config {
	return &rest.Config{Host: target.String(), TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
}

// forwarded runs a port-forward as kubectl does, to ports of this machine,
// and returns the local ones, and what it ends with.
func forwarded(t *testing.T, client, target string, ports ...int) ([]portforward.ForwardedPort, <-chan error) {
	t.Helper()
	parsed, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := dialers[client](parsed)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, port := range ports {
		pairs = append(pairs, fmt.Sprintf("0:%d", port))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, pairs, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	t.Cleanup(func() {
		cancel()
		for range done { // closed at its end; the error is the test's
		}
	})
	go func() { done <- forwarder.ForwardPorts(); close(done) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("forward: %v", err)
	}
	local, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	return local, done
}

// echo is an HTTP server that answers with what it got, and its name.
func echo(t *testing.T, name string) (port int) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", name)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(server.Close)
	port, err := strconv.Atoi(server.URL[strings.LastIndex(server.URL, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestClientsForward has HTTP go through several ports at once, and that
// through TLS, too.
func TestClientsForward(t *testing.T) {
	t.Parallel()
	certificate, err := tls.X509KeyPair(newAuthority(t).leaf(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	secure := config
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	for _, how := range []struct {
		name, client string
		config       server.Config
	}{{"spdy", "spdy", config}, {"tunnel", "tunnel", config}, {"spdy, TLS", "spdy", secure}, {"tunnel, TLS", "tunnel", secure}} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			f := serveWith(t, how.config, new(commands), forward.Forwarder{})
			ports := []int{echo(t, "first"), echo(t, "second")}
			local, ended := forwarded(t, how.client, f.forwardURL(t), ports...)
			http := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			body := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
			var requests sync.WaitGroup
			for i, name := range []string{"first", "second"} {
				for range 10 {
					requests.Go(func() {
						response, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d", local[i].Local), "", bytes.NewReader(body))
						if err != nil {
							t.Error(err)
							return
						}
						defer func() { _ = response.Body.Close() }()
						got, err := io.ReadAll(response.Body)
						if err != nil || sha256.Sum256(got) != sha256.Sum256(body) || response.Header.Get("Server") != name {
							t.Errorf("%s: %d bytes from %q, error %v", name, len(got), response.Header.Get("Server"), err)
						}
					})
				}
			}
			requests.Wait()
			select {
			case err := <-ended:
				t.Errorf("the session has ended: %v", err)
			default:
			}
		})
	}
}

// TestClientsRefused: kubectl ends when nobody listens at a port.
func TestClientsRefused(t *testing.T) {
	t.Parallel()
	for client := range dialers {
		f := serveWith(t, config, new(commands), forward.Forwarder{})
		local, ended := forwarded(t, client, f.forwardURL(t), 1)
		http := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d", local[0].Local)); err == nil {
			_ = response.Body.Close()
			t.Error("somebody answers where nobody listens")
		}
		if err := within(t, "end", ended); err == nil || !strings.Contains(err.Error(), "lost connection") {
			t.Errorf("%s: error %v", client, err)
		}
	}
}
