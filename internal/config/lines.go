package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// keys is what the decoder forgets about a file. The dotted keys are in lower
// case, for the decoder matches them without regard to case.
type keys struct {
	lines   map[string]int // from 1
	numbers []number       // in the order of the file
}

// number is a key whose value is an integer.
type number struct{ key, text string }

// scan looks at the keys of a valid TOML text.
func scan(text []byte) *keys {
	found := &keys{lines: make(map[string]int)}
	var parser unstable.Parser
	parser.Reset(text)
	table := ""
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = found.add(&parser, "", node)
		case unstable.KeyValue:
			found.value(&parser, table, node)
		}
	}
	return found
}

// value adds a key and, if its value is an inline table, the keys in there.
func (k *keys) value(parser *unstable.Parser, table string, node *unstable.Node) {
	key, value := k.add(parser, table, node), node.Value()
	switch value.Kind {
	case unstable.Integer:
		k.numbers = append(k.numbers, number{key, string(value.Data)})
	case unstable.InlineTable:
		for it := value.Children(); it.Next(); {
			k.value(parser, key, it.Node())
		}
	}
}

// add notes the line of a node's key below table and returns the dotted key.
func (k *keys) add(parser *unstable.Parser, table string, node *unstable.Node) string {
	var parts []string
	if table != "" {
		parts = append(parts, table)
	}
	line := 0
	for it := node.Key(); it.Next(); {
		part := it.Node()
		if line == 0 {
			line = parser.Shape(part.Raw).Start.Line
		}
		parts = append(parts, string(part.Data))
	}
	key := strings.ToLower(strings.Join(parts, "."))
	k.lines[key] = line
	return key
}

func (k *keys) numericDurations() []problem {
	var problems []problem
	for _, n := range k.numbers {
		if isDuration(n.key) {
			problems = append(problems, problem{n.key, fmt.Sprintf("duration %s: use a string with a unit, such as \"30s\"", n.text)})
		}
	}
	return problems
}

// locate adds the line of each problem's key, or of the table where a key
// that is not there belongs.
func (k *keys) locate(name string, problems []problem) error {
	var all []error
	for _, p := range problems {
		if line := k.line(p.key); line > 0 {
			all = append(all, fmt.Errorf("%s:%d: %s: %s", name, line, p.key, p.text))
		} else {
			all = append(all, fmt.Errorf("%s: %s: %s", name, p.key, p.text))
		}
	}
	return errors.Join(all...)
}

// line is that of key or of the nearest table around it, 0 for neither.
func (k *keys) line(key string) int {
	for key = strings.ToLower(key); key != ""; key = key[:max(strings.LastIndexByte(key, '.'), 0)] {
		if line, ok := k.lines[key]; ok {
			return line
		}
	}
	return 0
}
