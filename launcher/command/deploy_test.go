package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/launcher/command"
	"github.com/trivet-cri/trivet/launcher/endpoint"
)

const deploy = "../../deploy"

// parsing is held while a command line runs, for cli's help flag is a global
// that every run writes to.
var parsing sync.Mutex

// trivet runs the command line and returns what it prints.
func trivet(t *testing.T, args ...string) (string, error) {
	t.Helper()
	parsing.Lock()
	defer parsing.Unlock()
	app := command.App(nil)
	var out bytes.Buffer
	app.Writer, app.ErrWriter = &out, &out
	err := app.RunContext(t.Context(), append([]string{"trivet"}, args...))
	return out.String(), err
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settings returns every value of a key in a unit.
func settings(unit, key string) []string {
	var values []string
	for _, match := range regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(unit, -1) {
		values = append(values, match[1])
	}
	return values
}

func TestDeployedConfigurationIsTheDefault(t *testing.T) {
	t.Parallel()
	printed, err := trivet(t, "config", "default")
	if err != nil {
		t.Fatal(err)
	}
	if deployed := read(t, "trivet.toml"); deployed != printed {
		t.Errorf("deploy/trivet.toml is not what `trivet config default` prints; write it there")
	}
}

func TestSocketUnitsFitTheLauncher(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ descriptor, listen string }{
		"trivet-cri.socket":    {endpoint.CRI, config.Default().CRISocket()},
		"trivet-stream.socket": {endpoint.Stream, ""},
	} {
		unit := read(t, name)
		if got := settings(unit, "FileDescriptorName"); !slices.Equal(got, []string{want.descriptor}) {
			t.Errorf("%s: FileDescriptorName is %q, want %q", name, got, want.descriptor)
		}
		if got := settings(unit, "Service"); !slices.Equal(got, []string{"trivet.service"}) {
			t.Errorf("%s: Service is %q", name, got)
		}
		if got := settings(unit, "ListenStream"); want.listen != "" && !slices.Equal(got, []string{want.listen}) {
			t.Errorf("%s: ListenStream is %q, want %q", name, got, want.listen)
		}
	}
}

// TestServiceUnitRunsCommandsThatExist parses each command line of the unit.
func TestServiceUnitRunsCommandsThatExist(t *testing.T) {
	t.Parallel()
	unit := read(t, "trivet.service")
	lines := slices.Concat(settings(unit, "ExecStart"), settings(unit, "ExecStartPre"), settings(unit, "ExecReload"))
	if len(lines) != 3 {
		t.Fatalf("command lines are %q", lines)
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		out, err := trivet(t, append(fields[1:], "--help")...)
		if err != nil || !strings.Contains(out, strings.Join(append([]string{"trivet"}, fields[1:]...), " ")) {
			t.Errorf("%s: %v, %s", line, err, out)
		}
	}
	if got := settings(unit, "Type"); !slices.Equal(got, []string{"notify"}) {
		t.Errorf("Type is %q", got)
	}
}
