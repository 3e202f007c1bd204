package migration

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// newest is the last version of containerd's format that is known here.
const newest = 4

// file is one file of containerd's configuration.
type file struct {
	name     string
	version  int
	imports  []string
	settings settings
}

func readFile(name string) (*file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read containerd's configuration: %w", err)
	}
	return parse(name, text)
}

// parse reads text; errors name file and line.
func parse(name string, text []byte) (*file, error) {
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			row, _ := decode.Position()
			return nil, fmt.Errorf("%s:%d: %s: %w", name, row, strings.TrimPrefix(decode.Error(), "toml: "), errdefs.ErrInvalidArgument)
		}
		return nil, fmt.Errorf("%s: %w: %w", name, err, errdefs.ErrInvalidArgument)
	}
	f := &file{name: name, settings: make(settings)}
	f.flatten(lines(text), nil, tree)
	return f, f.header()
}

// flatten adds the keys of a table that is at p.
func (f *file) flatten(lines map[string]int, p path, table map[string]any) {
	for name, value := range table {
		at := append(p[:len(p):len(p)], name)
		if below, ok := value.(map[string]any); ok && len(below) > 0 {
			f.flatten(lines, at, below)
			continue
		}
		f.settings[at.key()] = setting{origin: at, path: at, value: value, file: f.name, line: lines[at.key()]}
	}
}

// header checks the keys that say how the file is to be read.
func (f *file) header() error {
	// As in containerd, a file that does not say is of version 1.
	f.version = 1
	if s, ok := f.settings.get("version"); ok {
		number, ok := s.value.(int64)
		if !ok || number < 0 || number > newest {
			return fmt.Errorf("%s: version: %v is none of 1 to %d, the versions of containerd's configuration: %w",
				s.place(), s.value, newest, errdefs.ErrInvalidArgument)
		}
		f.version = max(int(number), 1)
	}
	if s, ok := f.settings.get("imports"); ok {
		f.imports = s.strings()
	}
	return nil
}

// lines has the line of each key and table of a valid TOML text.
func lines(text []byte) map[string]int {
	found := make(map[string]int)
	var parser unstable.Parser
	parser.Reset(text)
	var table path
	for parser.NextExpression() {
		switch node := parser.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = note(found, &parser, nil, node)
		case unstable.KeyValue:
			noteValue(found, &parser, table, node)
		}
	}
	return found
}

func noteValue(found map[string]int, parser *unstable.Parser, table path, node *unstable.Node) {
	at, value := note(found, parser, table, node), node.Value()
	if value.Kind != unstable.InlineTable {
		return
	}
	for it := value.Children(); it.Next(); {
		noteValue(found, parser, at, it.Node())
	}
}

// note keeps the first line of a node's key below table, and of the tables
// that the key makes, and returns its path.
func note(found map[string]int, parser *unstable.Parser, table path, node *unstable.Node) path {
	at := table[:len(table):len(table)]
	for it := node.Key(); it.Next(); {
		part := it.Node()
		at = append(at, string(part.Data))
		if _, ok := found[at.key()]; !ok {
			found[at.key()] = parser.Shape(part.Raw).Start.Line
		}
	}
	return at
}
