package golden

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Names are what stands for the same thing on both sides under different
// names.
type Names struct {
	// Replace are pairs of a text and what stands for it, in strings anywhere.
	Replace []string
	// Paths map whole strings, after Replace: files that each side keeps in
	// directories of its own.
	Paths map[*regexp.Regexp]string
	// Namespace says what a namespace is: "host", "pod" or another word. An
	// empty path is a new namespace.
	Namespace func(kind, path string) string
}

// namespaceKinds are the namespaces that a spec that does not name them leaves
// as the host's.
var namespaceKinds = []string{"cgroup", "ipc", "mount", "network", "pid", "user", "uts"}

// Normal makes a tree of an OCI spec in which only what matters is left:
// names are replaced, namespaces are named for what they are, lists that are
// sets are sorted, and lists of named things are objects by their names:
// mounts, environment, devices. The order of the mounts is kept beside them.
func Normal(spec []byte, names Names) (map[string]any, error) {
	var tree map[string]any
	if err := json.Unmarshal(spec, &tree); err != nil {
		return nil, fmt.Errorf("decode OCI spec: %w", err)
	}
	if linux := object(tree, "linux"); linux != nil {
		linux["namespaces"] = names.namespaces(linux["namespaces"])
	}
	renamed, ok := names.rename(tree).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("OCI spec is %.80q, no object", spec)
	}
	if process := object(renamed, "process"); process != nil {
		process["env"] = environment(process["env"])
		for _, set := range object(process, "capabilities") {
			sortStrings(set)
		}
	}
	order := []any{}
	for _, m := range list(renamed["mounts"]) {
		order = append(order, m.(map[string]any)["destination"])
	}
	renamed["mountOrder"] = order
	renamed["mounts"] = byName(renamed["mounts"], "destination")
	if linux := object(renamed, "linux"); linux != nil {
		linux["devices"] = byName(linux["devices"], "path")
	}
	return prune(renamed).(map[string]any), nil
}

func (n Names) rename(value any) any {
	switch v := value.(type) {
	case string:
		v = strings.NewReplacer(n.Replace...).Replace(v)
		for pattern, with := range n.Paths {
			if pattern.MatchString(v) {
				return pattern.ReplaceAllString(v, with)
			}
		}
		return v
	case []any:
		for i := range v {
			v[i] = n.rename(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = n.rename(v[key])
		}
	}
	return value
}

// namespaces says for each kind what it is.
func (n Names) namespaces(value any) map[string]any {
	kinds := make(map[string]any)
	for _, kind := range namespaceKinds {
		kinds[kind] = "host"
	}
	for _, ns := range list(value) {
		entry := ns.(map[string]any)
		kind, _ := entry["type"].(string)
		path, _ := entry["path"].(string)
		kinds[kind] = n.Namespace(kind, path)
	}
	return kinds
}

// environment makes an object of NAME=value entries; a name that comes again
// gets a mark.
func environment(value any) map[string]any {
	variables := make(map[string]any)
	for _, entry := range list(value) {
		text, _ := entry.(string)
		name, content, _ := strings.Cut(text, "=")
		for variables[name] != nil {
			name += " again"
		}
		variables[name] = content
	}
	return variables
}

// byName makes an object of a list of things that each have a name.
func byName(value any, key string) map[string]any {
	named := make(map[string]any)
	for _, item := range list(value) {
		entry, _ := item.(map[string]any)
		name, _ := entry[key].(string)
		for named[name] != nil {
			name += " again"
		}
		named[name] = entry
	}
	return named
}

func object(tree map[string]any, key string) map[string]any {
	child, _ := tree[key].(map[string]any)
	return child
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}

func sortStrings(value any) {
	slices.SortFunc(list(value), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}

// prune takes empty lists and objects out of objects: to an OCI runtime they
// are the same as none.
func prune(value any) any {
	tree, ok := value.(map[string]any)
	if !ok {
		for _, item := range list(value) {
			prune(item)
		}
		return value
	}
	for key := range tree {
		tree[key] = prune(tree[key])
		child, isObject := tree[key].(map[string]any)
		items, isList := tree[key].([]any)
		if isObject && len(child) == 0 || isList && len(items) == 0 || tree[key] == nil {
			delete(tree, key)
		}
	}
	return tree
}
