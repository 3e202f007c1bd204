package migration

import (
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/trivet-cri/trivet/internal/config"
)

// handlers carries over the runtime handlers. As in containerd, runc is there
// without being in the file, and a table of it changes it.
func (m *migration) handlers() {
	tables := make(map[string][]setting)
	for _, s := range m.take("plugins", runtimePlugin, "containerd", "runtimes", "*", "**") {
		if name := s.path[4]; len(s.path) > 5 {
			tables[name] = append(tables[name], s)
		}
	}
	m.legacy("default_runtime", "default", tables)
	m.legacy("untrusted_workload_runtime", "untrusted", tables)
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		m.handler(name, tables[name])
	}
	for _, s := range m.take("plugins", runtimePlugin, "containerd", "default_runtime_name") {
		if _, legacy := tables["default"]; legacy && m.Config.Runtime.DefaultHandler == "default" {
			m.note(Unneeded, s, "containerd ignores it because of default_runtime.")
			continue
		}
		m.carry(s, func(c *config.Config) any { return &c.Runtime.DefaultHandler })
	}
}

// legacy makes a handler of one of the tables from before there were any.
func (m *migration) legacy(table, name string, tables map[string][]setting) {
	keys := m.take("plugins", runtimePlugin, "containerd", table, "**")
	typed := slices.ContainsFunc(keys, func(s setting) bool {
		return len(s.path) == 5 && s.path[4] == "runtime_type" && !empty(s.value)
	})
	if !typed {
		return // containerd 1.x printed them empty
	}
	if _, ok := tables[name]; ok {
		for _, s := range keys {
			m.note(Unneeded, s, "The file has a runtime handler "+name+" as well, which counts.")
		}
		return
	}
	tables[name] = nil
	for _, s := range keys {
		s.path = slices.Concat(path{"plugins", runtimePlugin, "containerd", "runtimes", name}, s.path[4:])
		tables[name] = append(tables[name], s)
	}
	typedAt := slices.IndexFunc(keys, func(s setting) bool { return s.path[len(s.path)-1] == "runtime_type" })
	m.note(Changed, keys[max(typedAt, 0)], "The table became the runtime handler "+name+".")
	if name == "default" {
		m.Config.Runtime.DefaultHandler = name // which is in the map when the next value is tried
		m.Config.Runtime.Handlers = maps.Clone(m.Config.Runtime.Handlers)
		m.Config.Runtime.Handlers[name] = config.Handler{Type: runcShim, Sandboxer: "podsandbox"}
	}
}

// handler carries over one handler: first its type, without which there is
// none and which says what its options are.
func (m *migration) handler(name string, keys []setting) {
	if !m.handlerType(name, keys) {
		return
	}
	if name == "untrusted" {
		m.Differences = append(m.Differences, "Trivet does not read the annotation io.kubernetes.cri.untrusted-workload: make a RuntimeClass with the handler untrusted.")
	}
	// io_type is right or not by the sandboxer, which so is tried before.
	late := func(s setting) int {
		if strings.EqualFold(s.path[5], "io_type") {
			return 1
		}
		return 0
	}
	for _, s := range slices.SortedStableFunc(slices.Values(keys), func(a, b setting) int { return late(a) - late(b) }) {
		switch key := strings.ToLower(s.path[5]); {
		case s.emptyTable() || key == "runtime_type":
		case key == "options" && len(s.path) >= 7:
			m.option(name, s)
		case len(s.path) == 6 && handlerField(&config.Handler{}, key) != nil:
			m.carry(s, m.field(name, func(h *config.Handler) any { return handlerField(h, key) }))
		case (key == "runtime_engine" || key == "runtime_root") && !empty(s.value):
			m.firstShim(name, key, s)
		default:
			m.unmapped(s, handlerExplanations[key])
		}
	}
	m.configBody(name, keys)
	// No limit of its own is cni's in containerd, and none at all in Trivet.
	h := m.Config.Runtime.Handlers[name]
	if h.CNIConfDir != "" && h.CNIMaxConfNum == 0 {
		h.CNIMaxConfNum = m.Config.CNI.MaxConfNum
		m.Config.Runtime.Handlers[name] = h
	}
}

// firstShim carries over what containerd 1.x's first shim had outside of its
// options.
func (m *migration) firstShim(name, key string, s setting) {
	option := map[string]string{"runtime_engine": "BinaryName", "runtime_root": "Root"}[key]
	field := m.field(name, func(h *config.Handler) any { return optionField(h, strings.ToLower(option)) })
	if m.Config.Runtime.Handlers[name].Type != runcShim {
		m.note(Lost, s, "It was for containerd 1.x's first shim.")
		return
	}
	if m.carry(s, field) {
		m.note(Changed, s, "It is the handler's option "+option+".")
	}
}

// systemdCgroup is 1.x's way to say it for all handlers.
func (m *migration) systemdCgroup() {
	for _, s := range m.take("plugins", runtimePlugin, "systemd_cgroup") {
		if s.value != true {
			m.left.put(s)
			continue
		}
		for name, handler := range m.Config.Runtime.Handlers {
			if handler.Type == runcShim {
				handler.Options.SystemdCgroup = true
				m.Config.Runtime.Handlers[name] = handler
			}
		}
		m.note(Changed, s, "It is SystemdCgroup in the options of each handler.")
	}
}

// handlerType makes the handler with its type, false for none.
func (m *migration) handlerType(name string, keys []setting) bool {
	handler, exists := m.Config.Runtime.Handlers[name]
	if !exists {
		handler.Sandboxer = "podsandbox"
	}
	at := slices.IndexFunc(keys, func(s setting) bool { return len(s.path) == 6 && strings.EqualFold(s.path[5], "runtime_type") })
	if at < 0 && !exists {
		for _, s := range keys {
			m.note(Lost, s, "The handler has no runtime_type.")
		}
		return false
	}
	if at >= 0 && !empty(keys[at].value) {
		s := keys[at]
		switch s.value {
		case "io.containerd.runtime.v1.linux", "io.containerd.runc.v1", "io.containerd.runtime.v2.runc":
			m.note(Changed, s, "containerd 2 does not have this shim any more: it is "+runcShim+" now.")
			s.value = runcShim
		}
		keys[at] = s
		if err := assign(&handler.Type, s.value); err != nil {
			m.note(Lost, s, "Trivet refuses the value: "+err.Error())
			return exists
		}
	}
	if err := m.try(func(c *config.Config) error { c.Runtime.Handlers[name] = handler; return nil }); err != nil {
		for _, s := range keys {
			m.note(Lost, s, "Trivet refuses the handler: "+err.Error())
		}
		return false
	}
	return true
}

// field makes a field of the configuration of one of a handler.
func (m *migration) field(name string, of func(*config.Handler) any) func(*config.Config) any {
	return func(c *config.Config) any {
		handler := c.Runtime.Handlers[name]
		return &handlerPart{c: c, name: name, handler: &handler, field: of(&handler)}
	}
}

// handlerPart is a field of a handler, which lives in a map.
type handlerPart struct {
	c       *config.Config
	name    string
	handler *config.Handler
	field   any
}

func (p *handlerPart) assign(value any) error {
	if err := assign(p.field, value); err != nil {
		return err
	}
	p.c.Runtime.Handlers[p.name] = *p.handler
	return nil
}

// option carries over one option of the shim.
func (m *migration) option(name string, s setting) {
	key := strings.ToLower(s.path[6])
	handler := m.Config.Runtime.Handlers[name]
	if len(s.path) == 7 && optionField(&handler, key) != nil {
		m.carry(s, m.field(name, func(h *config.Handler) any { return optionField(h, key) }))
		return
	}
	if handler.Type == runcShim {
		m.unmapped(s, optionExplanations[key])
	} // else configBody has it
}

// configBody makes of a handler's options the text that containerd hands to a
// shim that is not runc's and has no configuration file.
func (m *migration) configBody(name string, keys []setting) {
	handler := m.Config.Runtime.Handlers[name]
	if handler.Type == runcShim {
		return
	}
	options := make(map[string]any)
	for _, s := range keys {
		if !strings.EqualFold(s.path[5], "options") || len(s.path) < 7 || s.emptyTable() {
			continue
		}
		nest(options, s.path[6:], s.value)
		switch {
		case len(s.path) == 7 && optionField(&handler, strings.ToLower(s.path[6])) != nil:
		case handler.Options.ConfigPath != "":
			m.note(Unneeded, s, "containerd does not tell the shim of it, as there is ConfigPath.")
		default:
			m.note(Changed, s, "It is in ConfigBody, the text that containerd makes of these options.")
		}
	}
	if len(options) == 0 || handler.Options.ConfigPath != "" {
		return
	}
	text, err := toml.Marshal(options)
	if err != nil {
		m.note(Lost, keys[0], "The options cannot be written as TOML: "+err.Error())
		return
	}
	handler.Options.ConfigBody = string(text)
	m.Config.Runtime.Handlers[name] = handler
}

// nest puts a value into a table, with the tables that it is in.
func nest(table map[string]any, at path, value any) {
	for _, part := range at[:len(at)-1] {
		below, ok := table[part].(map[string]any)
		if !ok {
			below = make(map[string]any)
			table[part] = below
		}
		table = below
	}
	table[at[len(at)-1]] = value
}

// unmapped notes a key of a handler that has no counterpart.
func (m *migration) unmapped(s setting, e explanation) {
	switch {
	case e.why == "":
		m.note(Unknown, s, unknownKey)
	case e.lossless(s):
		m.note(Unneeded, s, e.why)
	default:
		m.note(Lost, s, e.why)
	}
}

// unknownKey is said of what containerd does not know.
const unknownKey = "containerd has no such key: it is misspelt, in the wrong table, or from another release."
