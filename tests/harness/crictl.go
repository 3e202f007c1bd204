package harness

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// CrictlArgs is the command line of crictl for this endpoint, up to its
// subcommand. A configuration of the machine's is not read.
func (c *CRI) CrictlArgs() []string {
	endpoint := "unix://" + c.Endpoint
	return []string{
		c.lab.Crictl, "--config", filepath.Join(c.lab.Dir, "no-crictl.yaml"),
		"--runtime-endpoint", endpoint, "--image-endpoint", endpoint, "--timeout", "60s",
	}
}

// CrictlCommand prepares a run of crictl.
func (c *CRI) CrictlCommand(ctx context.Context, args ...string) *exec.Cmd {
	all := append(c.CrictlArgs(), args...)
	return exec.CommandContext(ctx, all[0], all[1:]...)
}

// Crictl runs crictl and returns its standard output.
func (c *CRI) Crictl(ctx context.Context, args ...string) (string, error) {
	cmd := c.CrictlCommand(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("crictl %v: %w: %s", args, err, stderr.Bytes())
	}
	return string(out), nil
}
