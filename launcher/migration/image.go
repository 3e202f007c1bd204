package migration

import (
	"slices"
	"strings"

	"github.com/trivet-cri/trivet/internal/config"
)

// images carries over pinned images, per-handler snapshotters, and what is to
// be written into hosts.toml files.
func (m *migration) images() {
	m.pinned()
	m.platforms()
	m.Hosts = hosts(m.left)
}

// pinned separates the pause image, which Trivet has built in, from the rest.
func (m *migration) pinned() {
	var pinned []string
	for _, s := range m.take("plugins", imagesPlugin, "pinned_images", "*") {
		image, ok := s.value.(string)
		switch {
		case !ok:
			m.note(Lost, s, "It is not the name of an image.")
		case image == "":
		case s.path[3] != "sandbox":
			pinned = append(pinned, image)
		case isPause(image):
			m.note(Unneeded, s, "Trivet's pause image is built in, and only for pods that share their PID namespace: nothing is pulled. image.pause_image would replace it.")
		default:
			m.note(Changed, s, "It is image.pause_image, because it does not look like a copy of the usual pause image. Trivet's own is built in: remove the key if that will do.")
			m.carry(s, func(c *config.Config) any { return &c.Image.PauseImage })
		}
	}
	slices.Sort(pinned)
	m.Config.Image.PinnedImages = slices.Compact(pinned)
}

// isPause tells by its name whether an image is a copy of Kubernetes' one.
func isPause(image string) bool {
	name, _, _ := strings.Cut(image, "@")
	name, _, _ = strings.Cut(name[strings.LastIndexByte(name, '/')+1:], ":")
	return slices.Contains(strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' }), "pause")
}

// platforms gives handlers the snapshotters that images are unpacked for.
func (m *migration) platforms() {
	for _, s := range m.take("plugins", imagesPlugin, "runtime_platforms", "*", "snapshotter") {
		name := s.path[3]
		handler, ok := m.Config.Runtime.Handlers[name]
		switch {
		case empty(s.value):
		case !ok:
			m.note(Lost, s, "There is no runtime handler "+name+".")
		case handler.Snapshotter != "":
			m.note(Unneeded, s, "The runtime handler has a snapshotter of its own.")
		default:
			m.note(Changed, s, "It is the snapshotter of the runtime handler.")
			m.carry(s, m.field(name, func(h *config.Handler) any { return &h.Snapshotter }))
		}
	}
}

// explain notes every key that is left.
func (m *migration) explain() {
	for _, s := range m.left.sorted() {
		at := slices.IndexFunc(explanations, func(e explanation) bool { return s.path.matches(e.path) })
		switch {
		case s.path[0] == "version" || s.path[0] == "imports" || knownTable(s):
		case at >= 0:
			m.unmapped(s, explanations[at])
		case s.format == newest && outdated(s):
			m.note(Unknown, s, "In version 4 containerd ignores it: the server's settings are plugins' (io.containerd.server.v1.…).")
		case s.path[0] == "required_plugins":
			m.requiredPlugins(s)
		case stays(s.path):
			m.note(Stays, s, "")
		case s.path[0] == "plugins" && !isCRI(s.path[1]) && own[s.path[1]] == "":
			m.note(Unknown, s, "The plugin is not one of containerd 1.7 to 2.4. If it is built into yours, containerd's file keeps it.")
		default:
			m.note(Unknown, s, unknownKey)
		}
	}
	m.left = nil
}

// outdated tells whether s is where the server's settings were until version 3.
func outdated(s setting) bool {
	moved := slices.Contains([]string{"grpc", "ttrpc", "metrics"}, s.path[0]) ||
		len(s.path) == 2 && s.path[0] == "debug" && slices.Contains([]string{"address", "uid", "gid"}, s.path[1])
	return moved && !empty(s.value)
}

func (m *migration) requiredPlugins(s setting) {
	if slices.ContainsFunc(s.strings(), isCRI) {
		m.note(Lost, s, "Remove the CRI's plugins: containerd does not start when a required plugin is disabled.")
		return
	}
	m.note(Stays, s, "")
}

func isCRI(plugin string) bool {
	return slices.Contains([]string{criPlugin, runtimePlugin, imagesPlugin, nriPlugin}, plugin)
}

// knownTable tells whether s is a table without keys that containerd knows.
func knownTable(s setting) bool {
	if !s.emptyTable() {
		return false
	}
	if len(s.path) == 2 && s.path[0] == "plugins" {
		_, ok := own[s.path[1]]
		return ok || isCRI(s.path[1])
	}
	around := func(p path) bool { return len(p) > len(s.path) && s.path.matches(p[:len(s.path)]) }
	return slices.ContainsFunc(tables, func(p path) bool { return s.path.matches(p) }) ||
		slices.ContainsFunc(topLevel, around) ||
		slices.ContainsFunc(counterparts, func(c counterpart) bool { return around(c.path) }) ||
		slices.ContainsFunc(explanations, func(e explanation) bool { return around(e.path) })
}

// tables are those that are looked at by name.
var tables = []path{
	{"plugins"},
	{"plugins", runtimePlugin, "containerd", "runtimes"},
	{"plugins", criPlugin, "x509_key_pair_streaming"},
	{"plugins", imagesPlugin, "pinned_images"},
}
