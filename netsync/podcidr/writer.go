// Package podcidr writes the CNI configuration of a node whose pod CIDRs come
// from the kubelet.
//
// The CIDRs are kept in the ledger and the file is written again at each
// start. The file appears whole or not at all, and another configuration
// that is in use is never overruled by a new one.
package podcidr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/trivet-cri/trivet/netsync/network"
)

// File is the name of the configuration that is written.
const File = "10-trivet-net.conflist"

// Store keeps the CIDRs over a restart.
type Store interface {
	PodCIDRs() []string
	SetPodCIDRs(ctx context.Context, cidrs []string) error
}

// Writer keeps the CIDRs and the file. It is safe for concurrent use.
type Writer struct {
	template string
	dir      string
	store    Store
	configs  *network.Configs
	log      *slog.Logger
	turn     chan struct{} // holds the token of the one who writes
}

// NewWriter returns a Writer of dir/File from the template at the given path;
// without a template it only keeps the CIDRs.
func NewWriter(template, dir string, store Store, configs *network.Configs, log *slog.Logger) *Writer {
	return &Writer{template: template, dir: dir, store: store, configs: configs, log: log, turn: make(chan struct{}, 1)}
}

// Set records the CIDRs and writes the configuration. None clears them; a
// file that exists stays. Errors: ErrInvalidArgument, ErrFailedPrecondition
// (the template is wrong); the CIDRs are recorded then.
func (w *Writer) Set(ctx context.Context, cidrs []string) error {
	if err := Validate(cidrs); err != nil {
		return err
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return fmt.Errorf("set pod CIDRs: wait for another call: %w", ctx.Err())
	}
	if !slices.Equal(cidrs, w.store.PodCIDRs()) {
		if err := w.store.SetPodCIDRs(ctx, cidrs); err != nil {
			return err
		}
		w.log.InfoContext(ctx, "pod CIDRs set", "cidrs", cidrs)
	}
	return w.Restore(ctx)
}

// Restore writes the configuration from the recorded CIDRs, if there are any.
func (w *Writer) Restore(ctx context.Context) error {
	cidrs := w.store.PodCIDRs()
	if w.template == "" || len(cidrs) == 0 {
		return nil
	}
	path := filepath.Join(w.dir, File)
	present, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read network configuration: %w", err)
	}
	if err != nil && w.foreign() {
		w.log.InfoContext(ctx, "network is configured already, template not used", "template", w.template)
		return nil
	}
	text, err := os.ReadFile(w.template)
	if err != nil {
		return fmt.Errorf("render network configuration: %w", precondition(err))
	}
	config, err := Render(string(text), cidrs)
	if err != nil {
		return fmt.Errorf("render network configuration from %s: %w", w.template, err)
	}
	if bytes.Equal(config, present) {
		return nil
	}
	if err := replace(path, config); err != nil {
		return fmt.Errorf("write network configuration: %w", err)
	}
	w.log.InfoContext(ctx, "network configuration written", "file", path, "cidrs", cidrs)
	return nil
}

// foreign tells whether the node has a good configuration of someone else.
func (w *Writer) foreign() bool {
	group, ok := w.configs.Snapshot().Group("")
	return ok && group.Err == nil && len(group.Networks) > 0
}

// replace makes path have the content, at once and on disk. The temporary
// file has no extension that counts as a configuration.
func replace(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	return handle.Sync()
}
