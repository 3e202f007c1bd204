package migration

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/trivet-cri/trivet/internal/config"
)

// titles of the kinds of notes.
var titles = map[Kind]string{
	Lost:     "NOT CARRIED OVER, look at these:",
	Changed:  "CARRIED OVER WITH A CHANGE:",
	Unknown:  "UNKNOWN to containerd, which ignores them as Trivet does:",
	Unneeded: "NOT NEEDED, nothing is lost:",
	Stays:    "NOT THE CRI'S, leave them in containerd's file:",
}

// WriteReport writes for people what the configuration does not say.
func (r *Result) WriteReport(w io.Writer) error {
	// Aligned in memory, so that only one write can fail.
	var text bytes.Buffer
	for _, kind := range []Kind{Lost, Changed, Unknown, Unneeded, Stays} {
		r.writeNotes(&text, kind)
	}
	writeList(&text, "DIFFERENT WITHOUT A KEY:", r.Differences)
	for _, h := range r.Hosts {
		fmt.Fprintf(&text, "\nWRITE %s:\n%s", h.Path, h.Text)
	}
	writeList(&text, "TO DO:", r.Steps)
	if _, err := w.Write(bytes.TrimPrefix(text.Bytes(), []byte("\n"))); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (r *Result) writeNotes(text *bytes.Buffer, kind Kind) {
	notes := slices.DeleteFunc(slices.Clone(r.Notes), func(n Note) bool { return n.Kind != kind })
	if len(notes) == 0 {
		return
	}
	fmt.Fprintf(text, "\n%s\n", titles[kind])
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	defer func() { _ = table.Flush() }() // to memory
	if kind == Stays {
		notes = grouped(notes)
	}
	for _, n := range notes {
		_, _ = fmt.Fprintln(table, strings.TrimRight(strings.Join([]string{"  " + n.Place, n.Key, n.Value, n.Why}, "\t"), "\t"))
	}
}

// grouped makes one note of those about the same table. Nobody has to do
// anything about them, so that their values do not matter.
func grouped(notes []Note) []Note {
	var groups []Note
	for _, n := range notes {
		table, key := "", n.Key
		if at := strings.LastIndexByte(n.Key, '.'); at >= 0 && !strings.HasSuffix(n.Key, "'") {
			table, key = n.Key[:at], n.Key[at+1:]
		}
		if at := slices.IndexFunc(groups, func(g Note) bool { return g.Key == table }); table != "" && at >= 0 {
			groups[at].Value += ", " + key
			continue
		}
		if table == "" {
			table, key = n.Key, ""
		}
		groups = append(groups, Note{Place: n.Place, Key: table, Value: key})
	}
	return groups
}

func writeList(text *bytes.Buffer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(text, "\n%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(text, "  - %s\n", line)
	}
}

// steps says how to switch containerd's CRI off and Trivet on.
func (r *Result) steps() {
	disabled := r.disabled()
	off := []string{runtimePlugin, imagesPlugin, criPlugin}
	if !r.Config.NRI.Disable {
		off = append(off, nriPlugin)
	}
	missing := slices.DeleteFunc(off, func(name string) bool { return slices.Contains(disabled, name) })
	if len(missing) > 0 {
		names := slices.Concat(disabled, missing)
		if r.source.version < 2 {
			names = append([]string{"cri"}, names...) // as containerd 1.x compares them
		}
		for i, name := range names {
			names[i] = `"` + name + `"`
		}
		r.Steps = append(r.Steps, "Switch containerd's own CRI off, at the top level of its file, and restart it: disabled_plugins = ["+strings.Join(names, ", ")+"]")
	} else {
		r.Steps = append(r.Steps, "Nothing in containerd's file: its CRI is disabled already.")
	}
	socket := "unix://" + r.Config.CRISocket()
	r.Steps = append(r.Steps,
		"Write the configuration to "+config.DefaultPath+" and check it: trivet config check",
		"Drain the node, then start Trivet: it does not take over pods that containerd's CRI runs.",
		"Let the kubelet (containerRuntimeEndpoint) and crictl (runtime-endpoint) use "+socket+".")
}
