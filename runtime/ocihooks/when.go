package ocihooks

import (
	"regexp"
	"slices"
)

// Container is what conditions are about.
type Container struct {
	Args        []string
	Annotations map[string]string // the container's, and the pod's over them
	BindMounts  bool              // the request has mounts
}

// when are the conditions of a hook. All that are set must hold, and one must
// be set.
type when struct {
	always, bindMounts *bool
	annotations        []annotationPattern
	commands           []*regexp.Regexp
}

type annotationPattern struct{ key, value *regexp.Regexp }

// holds: a condition that is false can never be met, of a list of commands
// one is enough, and each annotation must be there.
func (w when) holds(c Container) bool {
	if w.always == nil && w.bindMounts == nil && len(w.annotations) == 0 && len(w.commands) == 0 {
		return false
	}
	if w.always != nil && !*w.always || w.bindMounts != nil && (!*w.bindMounts || !c.BindMounts) {
		return false
	}
	for _, pattern := range w.annotations {
		if !pattern.matches(c.Annotations) {
			return false
		}
	}
	return len(w.commands) == 0 || len(c.Args) > 0 &&
		slices.ContainsFunc(w.commands, func(command *regexp.Regexp) bool { return command.MatchString(c.Args[0]) })
}

func (p annotationPattern) matches(annotations map[string]string) bool {
	for key, value := range annotations {
		if p.key.MatchString(key) && p.value.MatchString(value) {
			return true
		}
	}
	return false
}
