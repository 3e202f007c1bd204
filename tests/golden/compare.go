package golden

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is one place where two trees differ. A side without the place has
// the value "none".
type Change struct {
	Path            string // as in linux.resources.cpu.shares or mounts[/etc/hosts].options
	BuiltIn, Trivet string // JSON
}

func (c Change) String() string {
	return fmt.Sprintf("at:       %s\nbuilt-in: %s\nTrivet:   %s", c.Path, c.BuiltIn, c.Trivet)
}

// missing is the value of a place that a side does not have.
type missing struct{}

// Compare returns where two JSON trees differ, in the order of their paths.
// Lists are compared as a whole, unless they have objects and equal lengths.
func Compare(builtIn, trivet any) []Change {
	var changes []Change
	compare("", builtIn, trivet, &changes)
	return changes
}

func compare(path string, a, b any, changes *[]Change) {
	left, isMap := a.(map[string]any)
	right, both := b.(map[string]any)
	if isMap && both {
		keys := slices.Sorted(maps.Keys(left))
		for key := range right {
			if _, ok := left[key]; !ok {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			compare(join(path, key), at(left, key), at(right, key), changes)
		}
		return
	}
	if lists(a, b) {
		before, after := a.([]any), b.([]any)
		for i := range before {
			compare(fmt.Sprintf("%s[%d]", path, i), before[i], after[i], changes)
		}
		return
	}
	if !reflect.DeepEqual(a, b) {
		*changes = append(*changes, Change{Path: path, BuiltIn: show(a), Trivet: show(b)})
	}
}

// lists tells whether both are lists of objects with equal lengths.
func lists(a, b any) bool {
	before, isList := a.([]any)
	after, both := b.([]any)
	if !isList || !both || len(before) != len(after) || len(before) == 0 {
		return false
	}
	_, objects := before[0].(map[string]any)
	return objects
}

func at(tree map[string]any, key string) any {
	if value, ok := tree[key]; ok {
		return value
	}
	return missing{}
}

// join adds a key to a path; one that is no plain word stands in brackets.
func join(path, key string) string {
	plain := key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
	switch {
	case !plain:
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func show(value any) string {
	if value == (missing{}) {
		return "none"
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(text.String())
}
