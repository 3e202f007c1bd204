package network

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// The plugins write the network's name into a comment of each pod's rules.
// Their targets are chains of that pod alone.
var rule = regexp.MustCompile(`^-A (\S+) (.*)$`)

// sharedChains are made by the port mapping plugin once a machine.
var sharedChains = []string{"CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"}

// RemoveRules removes the packet filter's rules that pods of a network have
// left. With all, the chains that all networks share go too.
//
// run runs a program and returns its output.
func RemoveRules(ctx context.Context, run Runner, network string, all bool) error {
	var failed []error
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, table := range []string{"nat", "filter"} {
			saved, err := run(ctx, family+"-save", "-t", table)
			if err != nil {
				continue // the kernel does not have it, so nobody has used it
			}
			for _, args := range Leftovers(saved, network, all) {
				_, err := run(ctx, family, append([]string{"-w", "-t", table}, args...)...)
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// Runner runs a program and returns what it writes.
type Runner func(ctx context.Context, name string, args ...string) (string, error)

// Leftovers returns the arguments of the iptables calls that remove a
// network's rules from a table, given what iptables-save says of it.
func Leftovers(saved, network string, all bool) [][]string {
	var calls [][]string
	var chains []string
	for line := range strings.Lines(saved) {
		match := rule.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		args := split(match[2])
		target := jump(args)
		ours := strings.Contains(match[2], `\"`+network+`\"`)
		shared := all && slices.Contains(sharedChains, target)
		if !ours && !shared {
			continue
		}
		calls = append(calls, append([]string{"-D", match[1]}, args...))
		if ours && strings.HasPrefix(target, "CNI-") && !slices.Contains(sharedChains, target) && !slices.Contains(chains, target) {
			chains = append(chains, target)
		}
	}
	if all {
		for _, chain := range sharedChains {
			if strings.Contains(saved, "\n:"+chain+" ") {
				chains = append(chains, chain)
			}
		}
	}
	// A chain must be empty, and nothing may jump to it.
	for _, chain := range chains {
		calls = append(calls, []string{"-F", chain})
	}
	for _, chain := range chains {
		calls = append(calls, []string{"-X", chain})
	}
	return calls
}

func jump(args []string) string {
	if i := slices.Index(args, "-j"); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// split cuts a rule into words as a shell would: double quotes, backslashes.
func split(text string) []string {
	var words []string
	var word strings.Builder
	quoted, escaped, inside := false, false, false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			quoted, inside = !quoted, true
		case r == ' ' && !quoted:
			if inside {
				words = append(words, word.String())
			}
			word.Reset()
			inside = false
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	if inside {
		words = append(words, word.String())
	}
	return words
}
