// Package up runs a lab: it starts the parts, says where they are, and removes
// all of it at the end.
//
// The invariant: what a lab leaves is its log files. Everything it makes on
// the machine is named after its slot or lies in its directory, so whoever
// takes the same slot or the same directory next can remove what a killed lab
// has left.
package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/tools/lab/network"
	"github.com/trivet-cri/trivet/tools/lab/part"
	"github.com/trivet-cri/trivet/tools/lab/registry"
	"github.com/trivet-cri/trivet/tools/lab/slot"
	"github.com/trivet-cri/trivet/tools/lab/sweep"
)

// Options say what lab to run.
type Options struct {
	Dir string // state and logs; made if missing
	CRI bool   // enable containerd's built-in CRI plugin
	// CRIConfig is a TOML file that is laid over the settings of the plugin's
	// runtime part; empty for none.
	CRIConfig string
	Jaeger    bool
	Parts     part.Store
}

// Info is what a lab prints when it is up, as one line of JSON.
type Info struct {
	ContainerdSocket string `json:"containerd_socket"`
	ContainerdState  string `json:"containerd_state"`
	CertsDir         string `json:"certs_dir"`
	CNIConfDir       string `json:"cni_conf_dir"`
	CNIBinDir        string `json:"cni_bin_dir"`
	BinDir           string `json:"bin_dir"`
	Crictl           string `json:"crictl"`
	Critest          string `json:"critest"`
	JaegerOTLP       string `json:"jaeger_otlp"`
	JaegerQuery      string `json:"jaeger_query"`
	CgroupParent     string `json:"cgroup_parent"`
	Registry         string `json:"registry"`
	Namespace        string `json:"namespace"`
}

// slots is where the machine's labs agree on their numbers.
const slots = "/run/trivet-lab"

// longestSocket is how long the kernel lets the path of a unix socket be.
const longestSocket = 107

// readyLimit bounds how long the parts may take to answer.
const readyLimit = 2 * time.Minute

// lab is one that runs.
type lab struct {
	Options
	slot     *slot.Slot
	registry *registry.Registry
	daemons  errgroup.Group // ends when stop is called
	stop     context.CancelFunc
	failed   chan error // what a daemon's end says
	family   *sweep.Family
}

// Run starts a lab, prints its Info to out once all parts answer, and runs
// until ctx ends or a daemon cannot be kept up. Then it removes everything.
func Run(ctx context.Context, options Options, out io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("start lab: not root")
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return fmt.Errorf("start lab: %w", err)
	}
	options.Dir = dir
	if socket := filepath.Join(dir, containerdDir, "containerd.sock.ttrpc"); len(socket) > longestSocket {
		return fmt.Errorf("start lab: directory %s is too long: its sockets' paths would have %d bytes, and %d is the limit", dir, len(socket), longestSocket)
	}
	unlock, err := claimDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	family, err := sweep.NewFamily()
	if err != nil {
		return err
	}
	l := &lab{Options: options, failed: make(chan error, 1), family: family}
	if err := l.takeSlot(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.remove()) }()
	reaping, stopReaping := context.WithCancel(context.WithoutCancel(ctx))
	var reaper errgroup.Group
	reaper.Go(func() error { family.Reap(reaping); return nil })
	defer func() { stopReaping(); _ = reaper.Wait() }()
	return l.run(ctx, out)
}

// claimDir makes the directory and locks it.
func claimDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	file, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("start lab: another lab runs in %s: %w", dir, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// takeSlot takes a number and removes what its last holder has left.
func (l *lab) takeSlot() error {
	used, err := network.InUse(func(link string) bool { return len(link) > 4 && link[:4] == "tlab" })
	if err != nil {
		return fmt.Errorf("start lab: %w", err)
	}
	if l.slot, err = slot.Take(slots, used); err != nil {
		return fmt.Errorf("start lab: %w", err)
	}
	if owner := l.slot.Owner(); owner != "" && owner != l.Dir {
		slog.Warn("removing what a lab that was killed has left", "dir", owner)
		err = l.removeFrom(owner)
	}
	if err = errors.Join(err, l.removeFrom(l.Dir)); err != nil {
		return errors.Join(fmt.Errorf("start lab: %w", err), l.slot.Release())
	}
	return nil
}

// run starts everything and waits for the end.
func (l *lab) run(ctx context.Context, out io.Writer) error {
	daemons, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	defer func() { l.endDaemons() }()
	if err := l.slot.SetOwner(l.Dir); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	info, err := l.start(ready, daemons)
	if err != nil {
		return fmt.Errorf("start lab: %w", err)
	}
	line, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("start lab: %w", err)
	}
	if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
		return fmt.Errorf("start lab: %w", err)
	}
	slog.Info("lab is up", "dir", l.Dir, "containerd", info.ContainerdSocket, "registry", info.Registry, "bridge", l.slot.Bridge())
	select {
	case <-ctx.Done():
		slog.Info("lab is stopping")
		return nil
	case err := <-l.failed:
		return err
	}
}

// spawn runs something that lives as long as the lab.
func (l *lab) spawn(do func() error) {
	l.daemons.Go(func() error {
		err := do()
		if err != nil {
			select {
			case l.failed <- err:
			default: // one is enough
			}
		}
		return err
	})
}

// endDaemons ends what spawn has started.
func (l *lab) endDaemons() {
	l.stop()
	if err := l.daemons.Wait(); err != nil {
		slog.Warn("daemon did not end well", "cause", err)
	}
}
