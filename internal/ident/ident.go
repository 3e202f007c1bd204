// Package ident makes and checks the ids of pods and containers.
//
// An id becomes part of paths, cgroup names and containerd keys, so nothing
// that arrives from a client is used as one before Check has passed it.
package ident

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/containerd/errdefs"
)

// Length is the number of hexadecimal digits in an id.
const Length = 64

// New returns a random id.
func New() string {
	var raw [Length / 2]byte
	// Read of crypto/rand never fails: it ends the process instead.
	_, _ = rand.Read(raw[:])
	return hex.EncodeToString(raw[:])
}

// Check returns ErrInvalidArgument unless id has the form of an id. what
// names the field for the message.
func Check(what, id string) error {
	if id == "" {
		return fmt.Errorf("%s is empty: %w", what, errdefs.ErrInvalidArgument)
	}
	if len(id) > Length {
		return fmt.Errorf("%s %.80q is longer than %d characters: %w", what, id, Length, errdefs.ErrInvalidArgument)
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%s %q is not hexadecimal: %w", what, id, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}
