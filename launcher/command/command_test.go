package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	here := filepath.Join(dir, "here.toml")
	old, broken := filepath.Join(dir, "containerd.toml"), filepath.Join(dir, "broken.toml")
	for path, text := range map[string]string{
		good: "version = 1\n", bad: "version = 1\n[cni]\nattach_timeout = \"0s\"\nip_pref = \"both\"\n",
		here: "state = \"" + dir + "\"\n",
		old:  "version = 2\n", broken: "version = 2\nroot = \n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "launcher.sock")
	for line, test := range map[string]struct {
		prints string // a part of it
		fails  string // a part of the error, empty for none
	}{
		"":                                    {"COMMANDS:", ""},
		"--help":                              {"status", ""},
		"--version":                           {"trivet version", ""},
		"config":                              {"check", ""},
		"config --help":                       {"check", ""},
		"run --help":                          {"SIGHUP", ""},
		"status --help":                       {"--sessions", ""},
		"restart --help":                      {"--reason", ""},
		"reload --help":                       {"--timeout", ""},
		"config check --help":                 {"[FILE]", ""},
		"config default --help":               {"default", ""},
		"config check " + good:                {good + ": ok\n", ""},
		"config check -c " + bad:              {"", "\n" + bad + `:4: cni.ip_pref: "both"`},
		"config check -c " + good:             {good + ": ok\n", ""},
		"config check " + bad:                 {"", "\n" + bad + ":3: cni.attach_timeout: 0s is not a positive duration"},
		"config check -c " + good + " " + bad: {"", "both an argument and --config"},
		"config check " + good + " " + bad:    {"", `unexpected argument "` + bad + `"`},
		"config check " + dir + "/none":       {"", dir + "/none: no such file"},
		"config migrate --help":               {"--release", ""},
		"config migrate":                      {"", "name containerd's configuration file"},
		"config migrate " + old:               {"# Made by trivet config migrate from \"" + old, ""},
		"config migrate " + dir + "/none":     {"", dir + "/none: no such file"},
		"config migrate --release 3 " + old:   {"", "release 3 is neither 1 nor 2"},
		"config migrate " + broken:            {"", broken + ":2: "},
		"config migrate " + old + " x":        {"", `unexpected argument "x"`},
		"config default x":                    {"", `unexpected argument "x"`},
		"confg":                               {"", `unknown command "confg"`},
		"config chck":                         {"", `unknown command "chck"`},
		"run x":                               {"", `unexpected argument "x"`},
		"status x":                            {"", `unexpected argument "x"`},
		"restart x":                           {"", `unexpected argument "x"`},
		"reload x":                            {"", `unexpected argument "x"`},
		"status --jsn":                        {"", "-jsn; see trivet status --help"},
		"--vers":                              {"", "-vers"},
		"restart --timeout soon":              {"", "soon"},
		"status -c " + dir + "/none":          {"", dir + "/none: no such file"},
		"run -c " + bad:                       {"", bad + ":3: cni.attach_timeout"},
		"status -c " + here:                   {"", "no launcher answers on " + socket},
		"restart -c " + here:                  {"", "no launcher answers on " + socket},
		"reload -c " + here + " --timeout 1m": {"", "no launcher answers on " + socket},
		"status --socket " + socket + " -c " + bad: {"", "no launcher answers on " + socket},
		"status --json -c " + here:                 {"", "no launcher answers on " + socket},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			out, err := trivet(t, strings.Fields(line)...)
			if !strings.Contains(out, test.prints) {
				t.Errorf("prints %q, want %q", out, test.prints)
			}
			switch {
			case test.fails == "" && err != nil:
				t.Errorf("fails: %v", err)
			case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
				t.Errorf("error is %v, want %q", err, test.fails)
			}
		})
	}
}
