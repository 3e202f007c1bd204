package member_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/internal/member"
)

// role makes the test binary a member.
const role = "TRIVET_TEST_MEMBER"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "serve":
		member.Main("test", "waits for its end", func(ctx context.Context, env member.Env) error {
			env.Log.Info("serving", "root", env.Config.Root)
			<-ctx.Done()
			return nil
		})
	case "fail":
		member.Main("test", "fails", func(context.Context, member.Env) error { return errors.New("no containerd") })
	}
}

// run runs a member to its end and returns its exit code and what it wrote
// to standard error.
func run(t *testing.T, kind string, args ...string) (int, string) {
	t.Helper()
	cmd := command(t, kind, args...)
	var out strings.Builder
	cmd.Stderr = &out
	_ = cmd.Run() // its code says it
	return cmd.ProcessState.ExitCode(), out.String()
}

func command(t *testing.T, kind string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Args[0] = "trivet-test"
	cmd.Env = append(os.Environ(), role+"="+kind)
	return cmd
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trivet.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadStartExitsWithTheMessage(t *testing.T) {
	t.Parallel()
	bad := write(t, "[log]\nlevel = 'loud'\n")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"bad configuration": {[]string{"--config", bad}, "trivet-test: " + bad + `:2: log.level: "loud" is none of debug, info, warn, error` + "\n"},
		"missing file":      {[]string{"--config", bad + ".not"}, "trivet-test: read configuration: open " + bad + ".not: no such file or directory\n"},
		"argument":          {[]string{"serve"}, "trivet-test: unexpected argument \"serve\"\n"},
		"unknown flag":      {[]string{"--confg", bad}, "trivet-test: flag provided but not defined: -confg\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, out := run(t, "serve", c.args...); code != 1 || !strings.HasSuffix(out, c.want) {
				t.Errorf("code %d, wrote %q, want %q", code, out, c.want)
			}
		})
	}
}

func TestErrorOfRunExitsWithTheMessage(t *testing.T) {
	t.Parallel()
	code, out := run(t, "fail", "--config", write(t, ""))
	if code != 1 || !strings.HasSuffix(out, "trivet-test: no containerd\n") || strings.Contains(out, "msg=stopped") {
		t.Errorf("code %d, wrote %q", code, out)
	}
}

func TestSignalEndsItCleanly(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			cmd := command(t, "serve", "--config", write(t, "root = '/there'\nstate = '"+t.TempDir()+"'\n[tracing]\nendpoint = '127.0.0.1:1'\n"))
			out, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for scanner := bufio.NewScanner(out); scanner.Scan(); {
				lines = append(lines, scanner.Text())
				if strings.Contains(scanner.Text(), "msg=serving service=trivet-test root=/there") {
					if err := cmd.Process.Signal(signal); err != nil {
						t.Error(err)
					}
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			all := strings.Join(lines, "\n")
			if len(lines) != 3 || !strings.Contains(lines[0], "msg=starting") || !strings.Contains(lines[2], "msg=stopped") {
				t.Errorf("wrote\n%s", all)
			}
		})
	}
}
