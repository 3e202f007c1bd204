package podfiles

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// formatResolvConf is the text of resolv.conf for a pod's DNS configuration.
// Lists have no limit of number: the client has its own, and resolvers take
// the first ones. Values are words, or they would add lines of their own.
func formatResolvConf(dns *runtimeapi.DNSConfig) ([]byte, error) {
	for _, list := range []struct {
		field  string
		values []string
	}{
		{"dns_config.searches", dns.GetSearches()},
		{"dns_config.servers", dns.GetServers()},
		{"dns_config.options", dns.GetOptions()},
	} {
		for i, value := range list.values {
			if err := checkWord(fmt.Sprintf("%s[%d]", list.field, i), value); err != nil {
				return nil, err
			}
		}
	}
	var text strings.Builder
	if searches := dns.GetSearches(); len(searches) > 0 {
		text.WriteString("search " + strings.Join(searches, " ") + "\n")
	}
	for _, server := range dns.GetServers() {
		text.WriteString("nameserver " + server + "\n")
	}
	if options := dns.GetOptions(); len(options) > 0 {
		text.WriteString("options " + strings.Join(options, " ") + "\n")
	}
	return []byte(text.String()), nil
}

// checkWord is ErrInvalidArgument unless value is one visible word.
func checkWord(field, value string) error {
	bad := func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c) || c == utf8.RuneError
	}
	if value == "" || strings.ContainsFunc(value, bad) {
		return fmt.Errorf("%s %.200q is empty or has whitespace or control characters: %w", field, value, errdefs.ErrInvalidArgument)
	}
	return nil
}
