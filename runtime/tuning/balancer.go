package tuning

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Balancer has this machine's irqbalance take up a change.
type Balancer struct {
	File string // its configuration
	Log  *slog.Logger
}

// rebalanceLimit bounds it.
const rebalanceLimit = 10 * time.Second

// Rebalance restarts irqbalance where it is a service that is enabled, and
// else has it move interrupts once. Containers start without it as well: what
// fails is only logged.
func (b Balancer) Rebalance(ctx context.Context, banned string) {
	ctx, cancel := context.WithTimeout(ctx, rebalanceLimit)
	defer cancel()
	if _, err := os.Stat(b.File); err == nil && b.enabled(ctx) {
		err := exec.CommandContext(ctx, "systemctl", "restart", "irqbalance").Run()
		if err == nil {
			return
		}
		b.Log.WarnContext(ctx, "irqbalance is not restarted", "error", err)
	}
	program, err := exec.LookPath("irqbalance")
	if err != nil {
		b.Log.InfoContext(ctx, "interrupts that there are stay where they are: there is no irqbalance")
		return
	}
	once := exec.CommandContext(ctx, program, "--oneshot")
	once.Env = append(os.Environ(), fmt.Sprintf("%s=%s", bannedKey, banned))
	if err := once.Run(); err != nil {
		b.Log.WarnContext(ctx, "interrupts that there are stay where they are: irqbalance has failed", "error", err)
	}
}

func (b Balancer) enabled(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, "systemctl", "is-enabled", "irqbalance").Output()
	return err == nil && strings.TrimSpace(string(out)) == "enabled"
}
