package migration

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/trivet-cri/trivet/internal/config"
)

// WriteConfig writes Trivet's configuration: a small file with what differs
// from the defaults, each key with its explanation.
func (r *Result) WriteConfig(w io.Writer) error {
	text, err := render(r.Config)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "# Made by trivet config migrate from %q.\n# What is not here has its default: trivet config default explains every key.\n%s", r.source.name, text); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// render is c without the keys that have their defaults.
func render(c *config.Config) ([]byte, error) {
	w := &writer{}
	w.line("version = %d", config.Version)
	now, before := reflect.ValueOf(*c), reflect.ValueOf(*config.Default())
	for i := range now.NumField() {
		field := now.Type().Field(i)
		if field.Type.Kind() != reflect.Struct {
			if field.Name != "Version" {
				w.value(field, now.Field(i), before.Field(i))
			}
			continue
		}
		w.table(path{field.Tag.Get("toml")}, now.Field(i), before.Field(i))
		if field.Name == "Runtime" && !reflect.DeepEqual(c.Runtime.Handlers, config.Default().Runtime.Handlers) {
			w.handlers(c.Runtime.Handlers)
		}
	}
	return w.text.Bytes(), w.err
}

// writer writes TOML and keeps the first error.
type writer struct {
	text   bytes.Buffer
	header string // of a table that has no key yet
	err    error
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

// table writes the keys that differ, and those of the tables inside, but for
// maps.
func (w *writer) table(name path, now, before reflect.Value) {
	w.header = name.String()
	for i := range now.NumField() {
		field := now.Type().Field(i)
		if kind := field.Type.Kind(); kind != reflect.Struct && kind != reflect.Map {
			w.value(field, now.Field(i), before.Field(i))
		}
	}
	w.header = ""
	for i := range now.NumField() {
		if field := now.Type().Field(i); field.Type.Kind() == reflect.Struct {
			w.table(append(name[:len(name):len(name)], field.Tag.Get("toml")), now.Field(i), before.Field(i))
		}
	}
}

// handlers writes all of them: those of a file replace the default one.
func (w *writer) handlers(handlers map[string]config.Handler) {
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		w.table(path{"runtime", "runtimes", name}, reflect.ValueOf(handlers[name]), reflect.ValueOf(config.Handler{Sandboxer: "podsandbox"}))
	}
}

func (w *writer) value(field reflect.StructField, now, before reflect.Value) {
	bothEmpty := now.Kind() == reflect.Slice && now.Len()+before.Len() == 0
	if bothEmpty || reflect.DeepEqual(now.Interface(), before.Interface()) {
		return
	}
	if now.Kind() == reflect.Slice && now.IsNil() {
		now = reflect.MakeSlice(now.Type(), 0, 0)
	}
	text, err := toml.Marshal(map[string]any{field.Tag.Get("toml"): now.Interface()})
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write %s: %w", field.Tag.Get("toml"), err)
	}
	if w.header != "" {
		w.line("\n[%s]", w.header)
		w.header = ""
	}
	w.line("# %s\n%s", field.Tag.Get("comment"), strings.TrimSuffix(string(text), "\n"))
}
