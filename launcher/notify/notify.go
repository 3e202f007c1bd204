// Package notify tells systemd how the launcher does (sd_notify(3)).
//
// Without NOTIFY_SOCKET in the environment it does nothing. A message that
// systemd does not take is logged and changes nothing else.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// sendLimit bounds the wait for room in systemd's queue.
const sendLimit = time.Second

// Notifier sends the launcher's states. It is safe for concurrent use.
type Notifier struct {
	log    *slog.Logger
	socket string // empty without systemd
	mu     sync.Mutex
	ready  bool // systemd knows that the start is over
}

// New returns a notifier that writes to the socket that NOTIFY_SOCKET names.
func New(log *slog.Logger) *Notifier {
	return &Notifier{log: log, socket: os.Getenv("NOTIFY_SOCKET")}
}

// Serving says that the start, or a reload, is over.
func (n *Notifier) Serving(generation int64) {
	n.mu.Lock()
	n.ready = true
	n.mu.Unlock()
	n.tell(daemon.SdNotifyReady, status("generation %d serves", generation))
}

// Down shows why the group does not serve.
func (n *Notifier) Down(reason string) { n.tell(status("restarting the group: %s", reason)) }

// Reloading says that the configuration is read again.
func (n *Notifier) Reloading() {
	n.tell(daemon.SdNotifyReloading, strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"))
}

// Reloaded ends a reload, also one that was refused. A launcher that has
// never served is not called ready by it.
func (n *Notifier) Reloaded(err error) {
	var states []string
	n.mu.Lock()
	if n.ready {
		states = append(states, daemon.SdNotifyReady)
	}
	n.mu.Unlock()
	if err != nil {
		states = append(states, status("not reloaded: %v", err))
	}
	if len(states) > 0 {
		n.tell(states...)
	}
}

// Stopping says that the launcher stops the group.
func (n *Notifier) Stopping() { n.tell(daemon.SdNotifyStopping, status("stopping the group")) }

// Watch feeds systemd's watchdog, if it has one for this process, until ctx
// ends. alive is called before each sign of life: while it does not return,
// none is given.
func (n *Notifier) Watch(ctx context.Context, alive func()) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if interval <= 0 {
		return nil
	}
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		alive()
		n.tell(daemon.SdNotifyWatchdog)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// status is a line for `systemctl status`.
func status(format string, args ...any) string {
	return "STATUS=" + strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
}

func (n *Notifier) tell(states ...string) {
	if n.socket == "" {
		return
	}
	if err := n.send(strings.Join(states, "\n")); err != nil {
		n.log.Warn("systemd was not told", "states", states, "error", err.Error())
	}
}

// send does what daemon.SdNotify does, with a deadline: a service manager
// that has stopped reading must not stop the group.
func (n *Notifier) send(state string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer func() { _ = conn.Close() }() // a datagram is sent or not
	if err := conn.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}
