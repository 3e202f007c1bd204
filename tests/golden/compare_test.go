package golden_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trivet-cri/trivet/tests/golden"
)

func parse(t *testing.T, text string) any {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		builtIn, trivet string
		want            []golden.Change
	}{
		"equal":       {`{"a": [1, {"b": null}]}`, `{"a": [1, {"b": null}]}`, nil},
		"value":       {`{"a": {"b": 1}}`, `{"a": {"b": 2}}`, []golden.Change{{Path: "a.b", BuiltIn: "1", Trivet: "2"}}},
		"one-sided":   {`{"a": 1}`, `{"b": "<"}`, []golden.Change{{Path: "a", BuiltIn: "1", Trivet: "none"}, {Path: "b", BuiltIn: "none", Trivet: `"<"`}}},
		"odd key":     {`{"a": {"/x/y": 1}}`, `{"a": {}}`, []golden.Change{{Path: "a[/x/y]", BuiltIn: "1", Trivet: "none"}}},
		"scalars":     {`{"a": [1, 2]}`, `{"a": [2, 1]}`, []golden.Change{{Path: "a", BuiltIn: "[1,2]", Trivet: "[2,1]"}}},
		"objects":     {`{"a": [{"b": 1}, {"b": 2}]}`, `{"a": [{"b": 1}, {"b": 3}]}`, []golden.Change{{Path: "a[1].b", BuiltIn: "2", Trivet: "3"}}},
		"other kinds": {`{"a": [1]}`, `{"a": {"b": 1}}`, []golden.Change{{Path: "a", BuiltIn: "[1]", Trivet: `{"b":1}`}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := golden.Compare(parse(t, test.builtIn), parse(t, test.trivet)); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestNormal(t *testing.T) {
	t.Parallel()
	names := golden.Names{
		Replace:   []string{"1234", "CONTAINER"},
		Paths:     map[*regexp.Regexp]string{regexp.MustCompile(`^/state/\w+/(hosts)$`): "FILES/$1"},
		Namespace: func(kind, path string) string { return kind + " at " + path },
	}
	got, err := golden.Normal([]byte(`{
		"process": {"env": ["A=1", "B=x=y", "A=2"], "capabilities": {"bounding": ["CAP_B", "CAP_A"], "ambient": []}},
		"mounts": [{"destination": "/b", "source": "/state/1234/hosts"}, {"destination": "/a", "source": "/state/1234/hosts/x"}],
		"linux": {"cgroupsPath": "/x/1234", "namespaces": [{"type": "pid", "path": "/proc/1234/ns/pid"}], "devices": [{"path": "/dev/x"}], "sysctl": {}}
	}`), names)
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, `{
		"process": {"env": {"A": "1", "B": "x=y", "A again": "2"}, "capabilities": {"bounding": ["CAP_A", "CAP_B"]}},
		"mountOrder": ["/b", "/a"],
		"mounts": {"/b": {"destination": "/b", "source": "FILES/hosts"}, "/a": {"destination": "/a", "source": "/state/CONTAINER/hosts/x"}},
		"linux": {"cgroupsPath": "/x/CONTAINER", "devices": {"/dev/x": {"path": "/dev/x"}},
			"namespaces": {"cgroup": "host", "ipc": "host", "mount": "host", "network": "host", "pid": "pid at /proc/CONTAINER/ns/pid", "user": "host", "uts": "host"}}
	}`)
	for _, change := range golden.Compare(want, got) {
		t.Errorf("want and got differ\n%s", change)
	}
	if _, err := golden.Normal([]byte(`[`), names); err == nil {
		t.Error("what is no JSON is taken")
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	all, err := golden.ParseDifferences(`# a comment
in: one/* two
at: a.*
built-in: *
Trivet: none
why: because
 of that

in: *
at: b
built-in: "x"
Trivet: "y"
why: so`)
	if err != nil {
		t.Fatal(err)
	}
	if all[0].Why != "because of that" {
		t.Errorf("the reason is %q", all[0].Why)
	}
	listed := golden.Change{Path: "a.b", BuiltIn: "1\n2", Trivet: "none"}
	other := golden.Change{Path: "a.b", BuiltIn: "1", Trivet: "2"}
	if got := all.Unlisted("one/x", []golden.Change{listed, other}); !slices.Equal(got, []golden.Change{other}) {
		t.Errorf("not listed: %v", got)
	}
	if got := all.Unlisted("three", []golden.Change{listed}); len(got) != 1 {
		t.Error("an entry counts for a request that it does not name")
	}
	if stale := all.Stale(); len(stale) != 1 || !strings.Contains(stale[0], "at b") {
		t.Errorf("stale: %q", stale)
	}
}

func TestBrokenDifferences(t *testing.T) {
	t.Parallel()
	for say, text := range map[string]string{
		`no "why"`:       "in: x\nat: y\nbuilt-in: 1\nTrivet: 2\n",
		"none of the":    "where: x\n",
		"is there twice": "in: x\nin: y\n",
	} {
		if _, err := golden.ParseDifferences(text); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: got %v, want %q", text, err, say)
		}
	}
}
