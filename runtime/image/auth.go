package image

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// credentials are what a pull shows to a registry. The zero value is an
// anonymous pull.
type credentials struct {
	server string // the only registry that may see them, host[:port]; empty for any that the pull asks
	user   string // empty if secret is an identity token
	secret string
	token  string // bearer token for the registry itself
}

// parseAuth reads the kubelet's credentials. The first of these counts:
// username, identity token, auth, registry token. No error repeats a secret.
func parseAuth(auth *runtimeapi.AuthConfig) (credentials, error) {
	var c credentials
	if auth == nil {
		return c, nil
	}
	if auth.GetServerAddress() != "" {
		host, err := serverHost(auth.GetServerAddress())
		if err != nil {
			return credentials{}, err
		}
		c.server = host
	}
	switch {
	case auth.GetUsername() != "":
		c.user, c.secret = auth.GetUsername(), auth.GetPassword()
	case auth.GetIdentityToken() != "":
		c.secret = auth.GetIdentityToken()
	case auth.GetAuth() != "":
		user, secret, err := decodeAuth(auth.GetAuth())
		if err != nil {
			return credentials{}, err
		}
		c.user, c.secret = user, secret
	case auth.GetRegistryToken() != "":
		if strings.ContainsFunc(auth.GetRegistryToken(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return credentials{}, fmt.Errorf("credentials: registry token has characters that a header must not have: %w", errdefs.ErrInvalidArgument)
		}
		c.token = auth.GetRegistryToken()
	}
	return c, nil
}

// decodeAuth splits base64 of user:password. Docker's own writers pad the
// password with zero bytes.
func decodeAuth(encoded string) (user, password string, err error) {
	encoded = strings.TrimRight(strings.TrimSpace(encoded), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", fmt.Errorf("credentials: auth is not base64: %w", errdefs.ErrInvalidArgument)
	}
	user, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", fmt.Errorf("credentials: auth is not base64 of user:password: %w", errdefs.ErrInvalidArgument)
	}
	return user, strings.Trim(password, "\x00"), nil
}

// forHost is what the registry at host is shown.
func (c credentials) forHost(host string) (user, secret string) {
	if !c.fits(host) {
		return "", ""
	}
	return c.user, c.secret
}

// header has the bearer token, for a pull from the registry at host.
func (c credentials) header(host string) http.Header {
	if c.token == "" || !c.fits(host) {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + c.token}}
}

func (c credentials) fits(host string) bool {
	return c.server == "" || c.server == canonicalHost(host)
}

// serverHost reads a server address, which is a host or a URL, such as
// registry.example.com:5000 or https://index.docker.io/v1/.
func serverHost(address string) (string, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	parsed, err := url.Parse(address)
	if err == nil && parsed.Host == "" {
		err = errors.New("no host")
	}
	if err != nil {
		// The address itself may hold user and password.
		return "", fmt.Errorf("credentials: server address is neither a host nor a URL: %w", errdefs.ErrInvalidArgument)
	}
	return canonicalHost(parsed.Host), nil
}

// canonicalHost makes different spellings of one registry equal.
func canonicalHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}
