package ocihooks_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/ocihooks"
)

// write writes a file into a directory in one instant.
func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+"~"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, name+"~"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// always is a file whose hook has an argument, at a stage.
func always(arg, stage string) string {
	return fmt.Sprintf(`{"version": "1.0.0", "hook": {"path": "/bin/true", "args": ["true", %q]}, "when": {"always": true}, "stages": [%q]}`, arg, stage)
}

func load(t testing.TB, dirs ...string) (*ocihooks.Hooks, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	h, err := ocihooks.Load(dirs, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return h, &log
}

// args are the second arguments of the hooks that a container gets at start.
func args(h *ocihooks.Hooks, c ocihooks.Container) []string {
	s := &specs.Spec{}
	h.Add(s, c)
	if s.Hooks == nil {
		return nil
	}
	var all []string
	for _, one := range s.Hooks.CreateRuntime {
		all = append(all, one.Args[1])
	}
	return all
}

func TestConditions(t *testing.T) {
	t.Parallel()
	c := ocihooks.Container{
		Args: []string{"/bin/server", "/bin/other"}, Annotations: map[string]string{"io.example/trace": "yes", "empty": ""}, BindMounts: true,
	}
	for when, want := range map[string]bool{
		`{}`:                                                                    false,
		`{"always": true}`:                                                      true,
		`{"always": false}`:                                                     false,
		`{"hasBindMounts": true}`:                                               true,
		`{"hasBindMounts": false}`:                                              false,
		`{"commands": ["^/bin/s"]}`:                                             true,
		`{"commands": ["^/sbin/", "server$"]}`:                                  true,
		`{"commands": ["other"]}`:                                               false,
		`{"commands": []}`:                                                      false,
		`{"annotations": {"^io\\.example/tr": "^y"}}`:                           true,
		`{"annotations": {"^io\\.example/tr": "^n"}}`:                           false,
		`{"annotations": {"trace": "yes", "empty": "^$"}}`:                      true,
		`{"annotations": {"trace": "yes", "none": ""}}`:                         false,
		`{"always": true, "annotations": {"none": ""}}`:                         false,
		`{"always": false, "commands": ["server"]}`:                             false,
		`{"annotations": {"trace": "no"}, "commands": ["server"]}`:              false,
		`{"always": true, "hasBindMounts": true, "commands": ["server"]}`:       true,
		`{"hasBindMounts": true, "annotations": {"e": ""}, "commands": ["no"]}`: false,
	} {
		dir := t.TempDir()
		write(t, dir, "a.json", `{"version": "1.0.0", "hook": {"path": "/bin/true", "args": ["true", "x"]}, "stages": ["prestart"], "when": `+when+`}`)
		h, _ := load(t, dir)
		if got := args(h, c); (len(got) == 1) != want {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	dir := t.TempDir()
	write(t, dir, "a.json", `{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": ["prestart"], "when": {"hasBindMounts": true}}`)
	h, _ := load(t, dir)
	if got := args(h, ocihooks.Container{}); got != nil {
		t.Errorf("without mounts: %v", got)
	}
}

func TestStages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.json", `{"version": "1.0.0", "hook": {"path": "/bin/true", "args": ["true"], "env": ["A=1"], "timeout": 3}, "when": {"always": true},
		"stages": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]}`)
	h, _ := load(t, dir)
	own := specs.Hook{Path: "/own"}
	s := &specs.Spec{Hooks: &specs.Hooks{Poststop: []specs.Hook{own}, CreateRuntime: []specs.Hook{own}}}
	h.Add(s, ocihooks.Container{})
	got := map[string][]specs.Hook{
		"createRuntime": s.Hooks.CreateRuntime, "createContainer": s.Hooks.CreateContainer, "startContainer": s.Hooks.StartContainer,
		"poststart": s.Hooks.Poststart, "poststop": s.Hooks.Poststop,
	}
	for stage, want := range map[string]int{"createRuntime": 3, "createContainer": 1, "startContainer": 1, "poststart": 1, "poststop": 2} {
		hooks := got[stage]
		if len(hooks) != want {
			t.Fatalf("%s has %d hooks, want %d", stage, len(hooks), want)
		}
		last := hooks[want-1]
		if last.Path != "/bin/true" || !slices.Equal(last.Env, []string{"A=1"}) || *last.Timeout != 3 {
			t.Errorf("%s has %+v", stage, last)
		}
		last.Args[0], *last.Timeout = "changed", 0 // of this spec alone
	}
	other := &specs.Spec{}
	h.Add(other, ocihooks.Container{})
	if one := other.Hooks.Poststart[0]; one.Args[0] != "true" || *one.Timeout != 3 {
		t.Errorf("specs share what they have: %+v", one)
	}
}

// TestOrder: by file name in any case, the last directory's counts, and one
// without stages switches it off.
func TestOrder(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	for _, name := range []string{"10-a", "B", "c", "off"} {
		write(t, first, name+".json", always(name, "createRuntime"))
	}
	write(t, first, "no.conf", "no JSON")
	write(t, second, "c.json", always("c of the second", "createRuntime"))
	write(t, second, "a.json", always("a", "createRuntime"))
	write(t, second, "off.json", `{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": []}`)
	if err := os.Symlink("/trivet/none", filepath.Join(second, "gone.json")); err != nil {
		t.Fatal(err)
	}
	h, _ := load(t, first, second, filepath.Join(second, "none"))
	if got, want := args(h, ocihooks.Container{}), []string{"10-a", "a", "B", "c of the second"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	none, _ := load(t)
	if got := args(none, ocihooks.Container{}); none != nil || got != nil {
		t.Errorf("without directories: %v", got)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, why := range map[string]string{
		`{`:                                      "is not JSON of a hook: unexpected end",
		`[]`:                                     "is not JSON of a hook: json: cannot unmarshal array",
		`{}`:                                     `version: "" is not "1.0.0"`,
		`{"version": "0.1.0", "hook": "/bin/x"}`: "is not JSON of a hook: json: cannot unmarshal string",
		`{"version": "2"}`:                       `version: "2" is not "1.0.0"`,
		`{"version": "1.0.0", "hook": {"path": "true"}, "stages": []}`:                                           `hook.path: "true" is not an absolute path`,
		`{"version": "1.0.0", "hook": {"path": "/trivet/none"}, "stages": []}`:                                   "hook.path: stat /trivet/none: no such file",
		`{"version": "1.0.0", "hook": {"path": "/etc"}, "stages": []}`:                                           `hook.path: "/etc" is a directory`,
		`{"version": "1.0.0", "hook": {"path": "/bin/true", "timeout": 0}, "stages": []}`:                        "hook.timeout: 0 is not",
		`{"version": "1.0.0", "hook": {"path": "/bin/true"}}`:                                                    "stages: is missing",
		`{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": ["prestart", "start"]}`:                   `stages: "start" is unknown`,
		`{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": [], "when": {"annotations": {"(": "x"}}}`: `when.annotations: "(": error parsing`,
		`{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": [], "when": {"annotations": {"x": "["}}}`: `when.annotations: "[": error parsing`,
		`{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": [], "when": {"commands": ["*"]}}`:         `when.commands: "*": error parsing`,
		`{"version": "1.0.0", "hook": {"path": "/bin/true"}, "stages": [], "when": {"always": "yes"}}`:           "is not JSON of a hook: json: cannot unmarshal string",
	} {
		write(t, dir, "a.json", text)
		h, err := ocihooks.Load([]string{dir}, slog.New(slog.DiscardHandler))
		if want := filepath.Join(dir, "a.json") + ": " + why; h != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "b.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := ocihooks.Load([]string{dir}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "a.json: ") || !strings.Contains(err.Error(), "b.json: is not a regular file") {
		t.Errorf("two files: %v", err)
	}
	if _, err := ocihooks.Load([]string{"/etc/passwd"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file is taken for a directory")
	}
}

// TestChanges: each container gets what the files say then, and a broken file
// goes on saying what it said.
func TestChanges(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "hooks.d")
	h, log := load(t, dir)
	expect := func(when string, want ...string) {
		t.Helper()
		for range 2 { // the second time from memory
			if got := args(h, ocihooks.Container{}); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", when, got, want)
			}
		}
	}
	expect("without a directory")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a.json", always("one", "prestart"))
	expect("a new file", "one")
	write(t, dir, "a.json", always("two", "prestart")) // as long as before
	expect("a changed file", "two")
	write(t, dir, "a.json", "{")
	write(t, dir, "b.json", "{")
	expect("broken files", "two")
	if n := strings.Count(log.String(), "cannot be used"); n != 2 || !strings.Contains(log.String(), "b.json: is not JSON") {
		t.Errorf("%d warnings for two broken files: %s", n, log)
	}
	write(t, dir, "b.json", always("three", "prestart"))
	expect("one mended", "two", "three")
	if err := os.Remove(filepath.Join(dir, "a.json")); err != nil {
		t.Fatal(err)
	}
	expect("one removed", "three")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	expect("all removed")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a file in place of the directory")
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.json", always("x", "prestart"))
	h, err := ocihooks.Load([]string{dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if got := args(h, ocihooks.Container{}); len(got) != 1 {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	for range 20 {
		write(t, dir, "a.json", always("x", "prestart"))
	}
	all.Wait()
}

// What is accepted can be added to any container.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{"", "{}", "null", always("x", "poststop"), `{"version":"1.0.0","hook":{"path":"/bin/true"},"stages":[],"when":{"commands":["a+"],"annotations":{"b":"c"}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		write(t, dir, "a.json", text)
		h, err := ocihooks.Load([]string{dir}, slog.New(slog.DiscardHandler))
		if err != nil {
			if !strings.HasPrefix(err.Error(), dir+"/a.json: ") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		h.Add(&specs.Spec{}, ocihooks.Container{Args: []string{"a"}, Annotations: map[string]string{"b": "c"}})
	})
}
