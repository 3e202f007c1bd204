package config

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
)

// tlsVersions are named as in the kubelet's and CRI-O's configurations.
var tlsVersions = map[string]uint16{"VersionTLS12": tls.VersionTLS12, "VersionTLS13": tls.VersionTLS13}

// MinTLS is the oldest version of TLS that is spoken.
func (s *Streamer) MinTLS() (uint16, error) {
	version, ok := tlsVersions[s.TLSMinVersion]
	if !ok {
		return 0, fmt.Errorf("%q is neither VersionTLS12 nor VersionTLS13", s.TLSMinVersion)
	}
	return version, nil
}

// CipherSuites are the ids of those of TLS 1.2 that may be used; empty for Go's own.
func (s *Streamer) CipherSuites() ([]uint16, error) {
	var ids []uint16
	for _, name := range s.TLSCipherSuites {
		i := slices.IndexFunc(tls.CipherSuites(), func(c *tls.CipherSuite) bool {
			return c.Name == name && slices.Contains(c.SupportedVersions, tls.VersionTLS12)
		})
		if i < 0 {
			return nil, fmt.Errorf("%q is not a secure cipher suite of TLS 1.2", name)
		}
		ids = append(ids, tls.CipherSuites()[i].ID)
	}
	return ids, nil
}

// Base is the URL below which clients see the streaming server; nil for its
// own address.
func (s *Streamer) Base() (*url.URL, error) {
	if s.BaseURL == "" {
		return nil, nil
	}
	base, err := url.Parse(s.BaseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL: %w", s.BaseURL, err)
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("%q does not begin with http:// or https://", s.BaseURL)
	case base.Hostname() == "":
		return nil, fmt.Errorf("%q has no host", s.BaseURL)
	case base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return nil, fmt.Errorf("%q has more than scheme, host, port and path", s.BaseURL)
	}
	return base, nil
}

func (s *Streamer) validateStreaming(check *checker) {
	check.positive("streamer.stream_idle_timeout", s.IdleTimeout)
	check.positive("streamer.stream_creation_timeout", s.CreationTimeout)
	check.positive("streamer.stream_header_timeout", s.HeaderTimeout)
	if s.HeaderLimit < 4096 || s.HeaderLimit > 1<<20 {
		check.add("streamer.stream_max_header_bytes", "%d is not between 4096 and %d", s.HeaderLimit, 1<<20)
	}
	check.notNegative("streamer.stream_max_waiting", s.WaitingLimit)
	if _, err := s.Base(); err != nil {
		check.add("streamer.stream_base_url", "%v", err)
	}
	if _, err := s.MinTLS(); err != nil {
		check.add("streamer.tls_min_version", "%v", err)
	}
	if _, err := s.CipherSuites(); err != nil {
		check.add("streamer.tls_cipher_suites", "%v", err)
	}
	if len(s.TLSCipherSuites) > 0 && s.TLSMinVersion == "VersionTLS13" {
		check.add("streamer.tls_cipher_suites", "is set, but tls_min_version leaves no TLS 1.2")
	}
}
