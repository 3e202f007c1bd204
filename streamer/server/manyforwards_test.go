package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/trivet-cri/trivet/streamer/forward"
)

// manySessions are opened at once.
const manySessions = 50

// backTalk is a TCP server that sends back what it gets, until its end.
func backTalk(t *testing.T) (port string) {
	t.Helper()
	return serveTCP(t, func(conn net.Conn) error {
		_, err := io.Copy(conn, conn)
		return err
	})
}

// serveTCP has talk serve each connection.
func serveTCP(t *testing.T, talk func(net.Conn) error) (port string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving errgroup.Group
	serving.Go(func() error {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return nil
			}
			serving.Go(func() error { return errors.Join(talk(conn), conn.Close()) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); _ = serving.Wait() })
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// overWebSocket sends text through a session of channels and wants it back.
func overWebSocket(t *testing.T, f *fixture, port, text string) error {
	conn := dialWebSocket(t, f.forwardURL(t)+"?port="+port)
	for begin := 0; begin < len(text); begin += 20000 {
		if err := conn.WriteMessage(2, []byte("\x00"+text[begin:min(len(text), begin+20000)])); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	got := make(map[byte]string)
	for len(got[0]) < 2+len(text) {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("%d bytes and the error %q have come: %w", len(got[0]), got[1], err)
		}
		got[message[0]] += string(message[1:])
	}
	if got[0][2:] != text {
		return errors.New("other bytes have come")
	}
	return conn.Close()
}

// overConnection does so over SPDY, directly or not.
func overConnection(conn httpstream.Connection, port, id, text string) error {
	header := map[string][]string{"Port": {port}, "Requestid": {id}, "Streamtype": {"error"}}
	failed, err := conn.CreateStream(header)
	if err != nil {
		return err
	}
	header["Streamtype"] = []string{"data"}
	data, err := conn.CreateStream(header)
	if err != nil {
		return err
	}
	var sending errgroup.Group
	sending.Go(func() error {
		_, err := io.Copy(data, bytes.NewReader([]byte(text)))
		return errors.Join(err, data.Close())
	})
	got, err := io.ReadAll(data)
	err = errors.Join(err, sending.Wait())
	why, failure := io.ReadAll(failed)
	if string(got) != text || len(why) > 0 {
		err = errors.Join(err, fmt.Errorf("%d bytes and the error %q have come", len(got), why))
	}
	return errors.Join(err, failure)
}

// TestManyForwards opens many sessions at once, and many connections of one.
func TestManyForwards(t *testing.T) {
	t.Parallel()
	text := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<13))
	for name, one := range map[string]func(f *fixture, port string) func(i int) error{
		"websocket": func(f *fixture, port string) func(int) error {
			return func(int) error { return overWebSocket(t, f, port, text) }
		},
		"spdy": func(f *fixture, port string) func(int) error {
			return func(int) error {
				return overConnection(dialSPDY(t, f.forwardURL(t), "portforward.k8s.io"), port, "0", text)
			}
		},
		"tunnel": func(f *fixture, port string) func(int) error {
			return func(int) error { return overConnection(dialTunnel(t, f.forwardURL(t)), port, "0", text) }
		},
		"spdy, one session": func(f *fixture, port string) func(int) error {
			conn := dialSPDY(t, f.forwardURL(t), "portforward.k8s.io")
			return func(i int) error { return overConnection(conn, port, strconv.Itoa(i), text) }
		},
	} {
		f, port := serveWith(t, config, new(commands), forward.Forwarder{}), backTalk(t)
		for range 2 {
			talk := one(f, port)
			var talking errgroup.Group
			for i := range manySessions {
				talking.Go(func() error { return talk(i) })
			}
			if err := talking.Wait(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// dialTunnel upgrades to SPDY in a WebSocket.
func dialTunnel(t *testing.T, target string) httpstream.Connection {
	t.Helper()
	parsed, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := dialers["tunnel"](parsed)
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := dialer.Dial("portforward.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
