package migration

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Kind is what has become of a key.
type Kind int

// Kinds of notes, in the order in which they are shown.
const (
	Lost     Kind = iota // has no counterpart, and the node will behave otherwise
	Changed              // carried over with another value or meaning
	Unknown              // no key of containerd's, which ignores it
	Unneeded             // has no counterpart and needs none
	Stays                // is not the CRI's: containerd's file keeps it
)

// Note is about one key that was not simply carried over.
type Note struct {
	Kind  Kind
	Place string // file:line
	Key   string // as in containerd's file
	Value string // as TOML, without secrets
	Why   string // what to do instead, or why nothing needs to be done
}

// longest is how many bytes of a value a note shows.
const longest = 60

func newNote(kind Kind, s setting, why string) Note {
	return Note{Kind: kind, Place: s.place(), Key: s.origin.String(), Value: shown(s), Why: why}
}

// shown is the value of s for people.
func shown(s setting) string {
	for _, part := range s.path {
		switch strings.ToLower(part) {
		case "auth", "auths", "headers":
			return "(not shown)"
		}
	}
	text, err := toml.Marshal(map[string]any{"v": s.value})
	value := strings.TrimSuffix(strings.TrimPrefix(string(text), "v = "), "\n")
	if err != nil || strings.Contains(value, "\n") {
		value = fmt.Sprintf("%v", s.value)
	}
	value = strings.Join(strings.Fields(value), " ")
	if len(value) > longest {
		value = strings.ToValidUTF8(value[:longest], "") + "…"
	}
	return value
}
