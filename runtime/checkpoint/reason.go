package checkpoint

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
)

const (
	maxReasons = 3
	maxReason  = 300 // bytes of one line
)

// refusals are what a container may have that CRIU does not take unless an
// option says so: CRIU's words and ours. Nobody can know for the operator
// whether the peer, or whoever else wants the lock, can bear it.
var refusals = []struct{ words, meaning string }{
	{"Connected TCP socket", "it has an established TCP connection, which needs the line tcp-established in /etc/criu/runc.conf"},
	{"file locks are hold", "it holds a file lock, which needs the line file-locks in /etc/criu/runc.conf"},
}

// Explain adds to the error of a dump or a restore what CRIU says in its log;
// OCI runtimes say only that CRIU has failed. What a container has that CRIU
// does not take is named, and is errdefs.ErrFailedPrecondition.
func Explain(err error, log string) error {
	why := reason(log)
	if why == "" {
		return err
	}
	for _, one := range refusals {
		if strings.Contains(why, one.words) {
			// Its words only: the kind that shims give it would come first.
			return fmt.Errorf("%s: CRIU: %s: %s: %w", one.meaning, why, err.Error(), errdefs.ErrFailedPrecondition)
		}
	}
	return fmt.Errorf("CRIU: %s: %w", why, err)
}

// reason are the first errors in a log of CRIU; empty if there are none.
func reason(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return "" // it was not written, or it has gone
	}
	defer func() { _ = file.Close() }() // only read from
	var reasons []string
	for lines := bufio.NewScanner(file); lines.Scan() && len(reasons) < maxReasons; {
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
	return strings.Join(reasons, "; ")
}
