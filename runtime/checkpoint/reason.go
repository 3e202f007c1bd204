package checkpoint

import (
	"bufio"
	"os"
	"strings"
)

const (
	maxReasons = 3
	maxReason  = 300 // bytes of one line
)

// Reason are the first errors in a log of CRIU, for a message; empty if there
// are none. runc says only that CRIU has failed.
func Reason(logs ...string) string {
	var reasons []string
	for _, path := range logs {
		file, err := os.Open(path)
		if err != nil {
			continue // it was not written, or it has gone
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() && len(reasons) < maxReasons {
			_, text, found := strings.Cut(lines.Text(), ") Error (")
			// It asks for more files than it may have, and goes on without.
			if !found || strings.Contains(text, "RLIMIT_NOFILE") {
				continue
			}
			if _, what, ok := strings.Cut(text, "): "); ok {
				text = what
			}
			reasons = append(reasons, text[:min(len(text), maxReason)])
		}
		_ = file.Close() // only read from
	}
	return strings.Join(reasons, "; ")
}
