package image_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/image"
)

func base(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestCredentials(t *testing.T) {
	t.Parallel()
	const host = "registry.example"
	type shown struct{ user, secret, header string }
	for name, c := range map[string]struct {
		auth *runtimeapi.AuthConfig
		host string
		want shown
	}{
		"none":                       {nil, host, shown{}},
		"empty":                      {&runtimeapi.AuthConfig{}, host, shown{}},
		"password":                   {&runtimeapi.AuthConfig{Username: "u", Password: "p:q"}, host, shown{user: "u", secret: "p:q"}},
		"password before the rest":   {&runtimeapi.AuthConfig{Username: "u", Password: "p", IdentityToken: "i", Auth: "!"}, host, shown{user: "u", secret: "p"}},
		"identity token":             {&runtimeapi.AuthConfig{IdentityToken: "i", Auth: base("u:p")}, host, shown{secret: "i"}},
		"auth":                       {&runtimeapi.AuthConfig{Auth: base("u:p:q")}, host, shown{user: "u", secret: "p:q"}},
		"auth without padding":       {&runtimeapi.AuthConfig{Auth: strings.TrimRight(base("user:pass1"), "=")}, host, shown{user: "user", secret: "pass1"}},
		"auth with zero bytes":       {&runtimeapi.AuthConfig{Auth: base("u:p\x00\x00")}, host, shown{user: "u", secret: "p"}},
		"registry token":             {&runtimeapi.AuthConfig{RegistryToken: "t"}, host, shown{header: "Bearer t"}},
		"server fits":                {&runtimeapi.AuthConfig{Username: "u", Password: "p", ServerAddress: "registry.example"}, host, shown{user: "u", secret: "p"}},
		"server is a URL":            {&runtimeapi.AuthConfig{Username: "u", Password: "p", ServerAddress: "https://Registry.Example/v2/"}, host, shown{user: "u", secret: "p"}},
		"server with default port":   {&runtimeapi.AuthConfig{Username: "u", Password: "p", ServerAddress: "registry.example:443"}, host, shown{user: "u", secret: "p"}},
		"server with port":           {&runtimeapi.AuthConfig{Username: "u", Password: "p", ServerAddress: "registry.example:5000"}, "registry.example:5000", shown{user: "u", secret: "p"}},
		"other server":               {&runtimeapi.AuthConfig{Username: "u", Password: "p", ServerAddress: "other.example"}, host, shown{}},
		"other port":                 {&runtimeapi.AuthConfig{Username: "u", Password: "p", ServerAddress: "registry.example:5000"}, host, shown{}},
		"other server with a token":  {&runtimeapi.AuthConfig{RegistryToken: "t", ServerAddress: "other.example"}, host, shown{}},
		"Docker Hub by its old name": {&runtimeapi.AuthConfig{Username: "u", Password: "p", ServerAddress: "https://index.docker.io/v1/"}, "registry-1.docker.io", shown{user: "u", secret: "p"}},
	} {
		user, secret, header, err := image.Shown(c.auth, c.host)
		if got := (shown{user, secret, header.Get("Authorization")}); err != nil || got != c.want {
			t.Errorf("%s: shown is %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func TestBadCredentials(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]*runtimeapi.AuthConfig{
		"auth is not base64":       {Auth: "se!cret"},
		"auth has no colon":        {Auth: base("secret")},
		"server is not an address": {Username: "u", Password: "secret", ServerAddress: "http://u:secret@[::1"},
		"server has no host":       {Username: "u", Password: "secret", ServerAddress: "https:///secret"},
		"token breaks the header":  {RegistryToken: "secret\r\nX-Evil: yes"},
	} {
		_, _, _, err := image.Shown(auth, "registry.example")
		if !errdefs.IsInvalidArgument(err) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "se!cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzCredentials: no input makes credentials for a registry that they are
// not for, or an error that repeats them.
func FuzzCredentials(f *testing.F) {
	f.Add("u", "p", base("u:p"), "registry.example", "i", "t")
	f.Add("", "", "====", "https://x:y@z/", "", "")
	f.Add("", "", base("a\x00:b"), "docker.io", "", "\n")
	f.Fuzz(func(t *testing.T, username, password, auth, server, identity, token string) {
		config := &runtimeapi.AuthConfig{
			Username: username, Password: password, Auth: auth,
			ServerAddress: server, IdentityToken: identity, RegistryToken: token,
		}
		user, secret, header, err := image.Shown(config, "not-"+server+"-at-all.example")
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v", err)
			}
			if len(auth) > 20 && strings.Contains(err.Error(), auth) {
				t.Errorf("the error repeats a secret: %v", err)
			}
			return
		}
		if server != "" && (user != "" || secret != "" || header != nil) {
			t.Errorf("credentials for %q are shown elsewhere", server)
		}
		if strings.ContainsAny(header.Get("Authorization"), "\r\n") {
			t.Error("the token breaks out of its header")
		}
	})
}
