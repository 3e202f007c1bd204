package checkpoint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/checkpoint"
)

// TestCRIU uses programs that answer as CRIU and OCI runtimes do. It changes
// PATH, so it is not parallel.
func TestCRIU(t *testing.T) {
	const (
		good     = "case $1 in --version) echo 'Version: 4.1';; check) echo 'Looks good.';; esac"
		features = `case $1 in features) echo '{"annotations":{"org.opencontainers.runc.checkpoint.enabled":"VALUE"}}';; esac`
		crun     = "case $1 in features) exit 1;; --version) echo 'crun version 1.8.1'; echo '+SYSTEMD FEATURE';; esac"
	)
	for name, c := range map[string]struct {
		disabled      bool
		shim          string
		criu, runtime string
		says          string // nothing for support
	}{
		"all there":            {criu: good, runtime: strings.ReplaceAll(features, "VALUE", "true")},
		"crun with it":         {criu: good, runtime: strings.ReplaceAll(crun, "FEATURE", "+CRIU")},
		"runtime is elsewhere": {criu: good},
		"disabled":             {disabled: true, criu: good, says: "enable_criu is false"},
		"another shim":         {shim: "io.containerd.kata.v2", criu: good, says: "io.containerd.kata.v2"},
		"no criu":              {says: "CRIU is not installed"},
		"old criu":             {criu: "echo 'Version: 3.15'", says: "CRIU 3.15 is older than 3.16"},
		"strange criu":         {criu: "echo nothing", says: "--version says"},
		"kernel": {
			criu: "case $1 in --version) echo 'Version: 3.17.1';; check) echo 'Error (criu/vdso.c:381): vdso: Unexpected'; exit 1;; esac",
			says: "CRIU 3.17 cannot work on this kernel: criu/vdso.c:381): vdso: Unexpected",
		},
		"runc without it": {criu: good, runtime: strings.ReplaceAll(features, "VALUE", "false"), says: "is built without"},
		"crun without it": {criu: good, runtime: strings.ReplaceAll(crun, "FEATURE", ""), says: "is built without CRIU"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			for program, script := range map[string]string{"criu": c.criu, "ociruntime": c.runtime} {
				if script == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stat("/usr/sbin/criu"); err == nil && c.criu == "" {
				// The machine has one where every machine's would be.
				c.says = "CRIU"
				if checkpoint.NewCRIU(true).Check(t.Context(), config.Handler{Type: "io.containerd.runc.v2"}) == nil {
					return
				}
			}
			if c.shim == "" {
				c.shim = "io.containerd.runc.v2"
			}
			handler := config.Handler{Type: c.shim, Options: config.Options{BinaryName: "ociruntime"}}
			support := checkpoint.NewCRIU(!c.disabled)
			for range 2 { // what is remembered, too
				err := support.Check(t.Context(), handler)
				switch {
				case c.says == "" && err != nil:
					t.Error(err)
				case c.says != "" && (!errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), c.says)):
					t.Errorf("got %v, want %q", err, c.says)
				}
			}
		})
	}
}
