package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/trivet-cri/trivet/streamer/server"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.pem, _ = sign(t, a.cert, nil)
	a.cert = parse(t, a.pem)
	return a
}

func parse(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// sign makes a key and a certificate for it, self-signed without a parent.
func sign(t *testing.T, template *x509.Certificate, parent *authority) (key *ecdsa.PrivateKey, certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by, with := template, key
	if parent != nil {
		by, with = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// leaf makes a certificate of the authority with a serial number to know it by.
func (a *authority) leaf(t *testing.T, serial int64) (certPEM, keyPEM []byte) {
	t.Helper()
	_, certPEM, keyPEM = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a)
	return certPEM, keyPEM
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	// Renamed, as a certificate manager does it; never half written.
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// serial returns that of the server's certificate.
func serial(t *testing.T, address string, config *tls.Config) (int64, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	// With TLS 1.3 a refused client certificate shows on the first read.
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
		return 0, err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return 0, err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestCertificateFollowsFiles(t *testing.T) {
	t.Parallel()
	dir, a := t.TempDir(), newAuthority(t)
	files := server.Security{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
	put := func(n int64) {
		cert, key := a.leaf(t, n)
		write(t, files.Key, key)
		write(t, files.Cert, cert)
	}
	put(10)
	write(t, files.ClientCA, a.pem)
	tlsConfig, err := server.TLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	secure := config
	secure.TLS = tlsConfig
	f := serve(t, secure)
	if url := f.execURL(t, false, "cat"); !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Errorf("URL is %s", url)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	mine, err := tls.X509KeyPair(a.leaf(t, 99))
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{mine}}
	expect := func(want int64) {
		t.Helper()
		if got, err := serial(t, f.address, client); err != nil || got != want {
			t.Errorf("certificate %d, error %v; want %d", got, err, want)
		}
	}
	expect(10)
	// A session that was opened before goes on.
	dialer := websocket.Dialer{TLSClientConfig: client, Subprotocols: []string{"v5.channel.k8s.io"}}
	session, _, err := dialer.DialContext(t.Context(), "wss"+strings.TrimPrefix(f.execURL(t, false, "cat"), "https"), nil) //nolint:bodyclose // the library has replaced it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	if _, err := serial(t, f.address, &tls.Config{RootCAs: roots}); err == nil {
		t.Error("a client without certificate gets in")
	}
	put(11)
	expect(11)
	write(t, files.Cert, []byte("half written"))
	expect(11)
	put(12)
	expect(12)
	write(t, files.ClientCA, newAuthority(t).pem)
	if _, err := serial(t, f.address, client); err == nil {
		t.Error("a client of the old CA gets in")
	}
	_ = session.WriteMessage(websocket.BinaryMessage, []byte("\x00still here"))
	_ = session.WriteMessage(websocket.BinaryMessage, []byte{255, 0})
	if got := channels(session); got[1] != "still here" || exitCode(t, got[3]) != "0" {
		t.Errorf("the old session got %q", got)
	}
}

func TestTLSVersionAndCiphers(t *testing.T) {
	t.Parallel()
	const suite = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	for name, test := range map[string]struct {
		security server.Security
		client   *tls.Config
		refused  bool
	}{
		"1.2 by default":    {server.Security{}, &tls.Config{MaxVersion: tls.VersionTLS12}, false},
		"1.1 never":         {server.Security{}, &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, true},
		"1.3 at least":      {server.Security{MinVersion: tls.VersionTLS13}, &tls.Config{}, false},
		"1.2 is too old":    {server.Security{MinVersion: tls.VersionTLS13}, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"the cipher":        {server.Security{CipherSuites: []uint16{suite}}, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}, false},
		"another cipher":    {server.Security{CipherSuites: []uint16{suite}}, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, true},
		"ciphers, with 1.3": {server.Security{CipherSuites: []uint16{suite}}, &tls.Config{MinVersion: tls.VersionTLS13}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secure := config
			var err error
			if secure.TLS, err = server.TLS(test.security, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			f := serve(t, secure)
			test.client.InsecureSkipVerify = true
			if _, err := serial(t, f.address, test.client); (err != nil) != test.refused {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	tlsConfig, err := server.TLS(server.Security{Hosts: []string{"10.9.8.7", "node.example"}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	secure := config
	secure.TLS = tlsConfig
	f := serve(t, secure)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	response, err := client.Get(f.execURL(t, false, "cat"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	cert := response.TLS.PeerCertificates[0]
	for _, name := range []string{"127.0.0.1", "::1", "localhost", "10.9.8.7", "node.example"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("status is %s", response.Status)
	}
}

func TestBadTLSFiles(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.leaf(t, 1)
	good := server.Security{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	write(t, good.Cert, cert)
	write(t, good.Key, key)
	for _, test := range []struct {
		files server.Security
		names string
	}{
		{server.Security{Cert: "/no/cert", Key: good.Key}, "/no/cert"},
		{server.Security{Cert: good.Cert, Key: "/no/key"}, "/no/key"},
		{server.Security{Cert: good.Key, Key: good.Key}, good.Key},
		{server.Security{Cert: good.Cert, Key: good.Key, ClientCA: "/no/ca"}, "/no/ca"},
		{server.Security{Cert: good.Cert, Key: good.Key, ClientCA: good.Key}, good.Key},
	} {
		if _, err := server.TLS(test.files, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%+v: error is %v", test.files, err)
		}
	}
}
