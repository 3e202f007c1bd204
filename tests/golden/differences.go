package golden

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Difference is an entry of differences.txt: changes that stay, and why. In
// all but the reason a * stands for any text.
type Difference struct {
	In              []string // requests
	At              string
	BuiltIn, Trivet string
	Why             string
	line            int
	used            bool
}

// Differences are the entries of the file. Not for concurrent use.
type Differences []*Difference

// ParseDifferences reads the file: blocks between empty lines, each with the
// fields in, at, built-in, Trivet and why, once each. A line that begins with
// a space continues the one before, one that begins with # is a comment.
func ParseDifferences(text string) (Differences, error) {
	var all Differences
	block := make(map[string]string)
	last := ""
	lines := append(strings.Split(text, "\n"), "")
	for i, line := range lines {
		switch key, value, isField := strings.Cut(line, ":"); {
		case strings.HasPrefix(line, "#"):
		case line == "":
			if len(block) > 0 {
				d, err := newDifference(block, i)
				if err != nil {
					return nil, err
				}
				all = append(all, d)
			}
			block, last = make(map[string]string), ""
		case strings.HasPrefix(line, " ") && last != "":
			block[last] += " " + strings.TrimSpace(line)
		case !isField || !slices.Contains(fields, key):
			return nil, fmt.Errorf("line %d: %.40q is none of the fields %q", i+1, line, fields)
		case block[key] != "":
			return nil, fmt.Errorf("line %d: %s is there twice", i+1, key)
		default:
			block[key], last = strings.TrimSpace(value), key
		}
	}
	return all, nil
}

var fields = []string{"in", "at", "built-in", "Trivet", "why"}

func newDifference(block map[string]string, line int) (*Difference, error) {
	for _, field := range fields {
		if block[field] == "" {
			return nil, fmt.Errorf("the entry above line %d has no %q", line+1, field)
		}
	}
	return &Difference{
		In: strings.Fields(block["in"]), At: block["at"], BuiltIn: block["built-in"], Trivet: block["Trivet"],
		Why: block["why"], line: line,
	}, nil
}

// Unlisted returns the changes of a request that no entry allows.
func (all Differences) Unlisted(request string, changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool {
		allowed := false
		for _, d := range all {
			if d.allows(request, c) {
				allowed, d.used = true, true
			}
		}
		return allowed
	})
}

// Stale returns the entries that allowed nothing so far.
func (all Differences) Stale() []string {
	var stale []string
	for _, d := range all {
		if !d.used {
			stale = append(stale, fmt.Sprintf("the entry above line %d: in %s at %s", d.line+1, strings.Join(d.In, " "), d.At))
		}
	}
	return stale
}

func (d *Difference) allows(request string, c Change) bool {
	return slices.ContainsFunc(d.In, func(glob string) bool { return match(glob, request) }) &&
		match(d.At, c.Path) && match(d.BuiltIn, c.BuiltIn) && match(d.Trivet, c.Trivet)
}

// match compares text with a pattern in which * stands for any text.
func match(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(text)
}
