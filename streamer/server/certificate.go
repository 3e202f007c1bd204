package server

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// Security says how to serve TLS.
type Security struct {
	// Cert and Key are PEM files, both empty for a self-signed certificate.
	Cert, Key string
	// ClientCA makes clients show a certificate of it; empty for none.
	ClientCA string
	// Hosts are added to the names of a self-signed certificate.
	Hosts []string
	// MinVersion is that of crypto/tls; 0 for TLS 1.2.
	MinVersion uint16
	// CipherSuites are those of TLS 1.2; empty for Go's own.
	CipherSuites []uint16
}

// TLS returns a configuration that follows the files: a handshake that finds
// them changed reads them again. While they cannot be read, because they are
// being replaced, the last good ones are used.
func TLS(security Security, log *slog.Logger) (*tls.Config, error) {
	security.MinVersion = cmp.Or(security.MinVersion, tls.VersionTLS12)
	f := &follower{Security: security, log: log}
	if security.Cert == "" {
		cert, err := selfSigned(security.Hosts)
		if err != nil {
			return nil, err
		}
		f.own = cert
	}
	first, err := f.read(f.stamp())
	if err != nil {
		return nil, err
	}
	f.current.Store(first)
	return &tls.Config{
		MinVersion:         security.MinVersion,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.get(), nil },
	}, nil
}

// follower keeps the configuration that the files had last.
type follower struct {
	Security
	own     *tls.Certificate // self-signed; nil with files
	log     *slog.Logger
	current atomic.Pointer[loaded]
	// complained is the state of the files that was logged as bad.
	complained atomic.Pointer[[]fileStamp]
}

type loaded struct {
	stamp  []fileStamp
	config *tls.Config
}

// fileStamp tells two states of a file apart.
type fileStamp struct {
	size     int64
	modified time.Time
}

func (f *follower) stamp() []fileStamp {
	var stamps []fileStamp
	for _, path := range []string{f.Cert, f.Key, f.ClientCA} {
		stamp := fileStamp{size: -1}
		if info, err := os.Stat(path); err == nil {
			stamp = fileStamp{info.Size(), info.ModTime()}
		}
		stamps = append(stamps, stamp)
	}
	return stamps
}

// get is called by each handshake. Two that find a change both read.
func (f *follower) get() *tls.Config {
	current, stamp := f.current.Load(), f.stamp()
	if slices.Equal(current.stamp, stamp) {
		return current.config
	}
	next, err := f.read(stamp)
	if err != nil {
		if last := f.complained.Load(); last == nil || !slices.Equal(*last, stamp) {
			f.complained.Store(&stamp)
			f.log.Warn("changed TLS files are not used", "error", err)
		}
		return current.config
	}
	f.current.Store(next)
	f.log.Info("TLS files have changed and are in use")
	return next.config
}

func (f *follower) read(stamp []fileStamp) (*loaded, error) {
	config := &tls.Config{
		MinVersion: f.MinVersion, CipherSuites: f.CipherSuites, NextProtos: []string{"http/1.1"},
		// A resumed session would not show its certificate to a changed CA.
		SessionTicketsDisabled: true,
	}
	if f.own != nil {
		config.Certificates = []tls.Certificate{*f.own}
	} else {
		cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("read certificate %s and key %s: %w", f.Cert, f.Key, err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	if f.ClientCA != "" {
		text, err := os.ReadFile(f.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("read client CA: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read client CA %s: it has no certificate", f.ClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return &loaded{stamp, config}, nil
}

// selfSigned makes a certificate that lives as long as this process.
func selfSigned(hosts []string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	name, hostErr := os.Hostname()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "trivet-streamer"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if hostErr == nil {
		template.DNSNames = append(template.DNSNames, name)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if host != "" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, errors.Join(errors.New("sign certificate"), err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
