package image

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"go.opentelemetry.io/otel/attribute"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/telemetry"
	"github.com/trivet-cri/trivet/runtime/engine"
)

// managed marks names as the CRI's, in the words of containerd's CRI plugin,
// so that its tools and ours tell the same.
const (
	managedLabel = "io.cri-containerd.image"
	managedValue = "managed"
)

// order is a pull that has been checked.
type order struct {
	named       reference.Named
	auth        credentials
	snapshotter string
}

// Pull fetches an image and unpacks it in a snapshotter; an empty one means
// the configured. What is here already is not fetched again, but the registry
// is always asked.
//
// Identical calls (reference, credentials, snapshotter) share one pull. It
// does not end with a caller who gives up: the retry finds it under way.
func (s *Service) Pull(ctx context.Context, ref string, auth *runtimeapi.AuthConfig, pod *runtimeapi.PodSandboxConfig, snapshotter string) (Image, error) {
	o, err := s.order(ref, auth, snapshotter)
	if err != nil {
		return Image{}, err
	}
	f, err := s.join(ctx, o, pod)
	if err != nil {
		return Image{}, err
	}
	select {
	case <-f.done:
		return f.image, f.err
	case <-ctx.Done():
		return Image{}, fmt.Errorf("pull %q: no longer waited for after %s, it goes on (%s): %w",
			o.named, time.Since(f.started).Round(time.Millisecond), f.meter, ctx.Err())
	}
}

func (s *Service) order(ref string, auth *runtimeapi.AuthConfig, snapshotter string) (order, error) {
	if isID(ref) {
		return order{}, fmt.Errorf("pull %q: an image id names no registry: %w", ref, errdefs.ErrInvalidArgument)
	}
	named, err := normalize(ref)
	if err != nil {
		return order{}, fmt.Errorf("pull: %w", err)
	}
	c, err := parseAuth(auth)
	if err != nil {
		return order{}, fmt.Errorf("pull %q: %w", named, err)
	}
	if snapshotter == "" {
		snapshotter = s.cfg.Snapshotter
	}
	return order{named: named, auth: c, snapshotter: snapshotter}, nil
}

// key is equal for identical pulls. It does not contain the secrets.
func (o order) key() string {
	// Marshalling strings cannot fail.
	text, _ := json.Marshal([]string{
		o.named.String(), o.snapshotter, o.auth.server, o.auth.user, o.auth.secret, o.auth.token,
	})
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// pull does the work of an order.
func (s *Service) pull(ctx context.Context, o order, m *meter) (Image, error) {
	ref := o.named.String()
	dir, err := hostDir(s.cfg.ConfigPath, reference.Domain(o.named))
	if err != nil {
		return Image{}, fmt.Errorf("pull %q: %w", ref, err)
	}
	t := engine.ImageTransfer{
		Ref:          ref,
		Snapshotter:  o.snapshotter,
		HostDir:      dir,
		Header:       o.auth.header(reference.Domain(o.named)),
		Credentials:  o.auth.forHost,
		MaxDownloads: s.cfg.MaxConcurrentDownload,
		Labels:       s.labels(ref),
	}
	if err := s.transfer(ctx, t, m); err != nil {
		return Image{}, err
	}
	m.enter("recording the image", time.Now())
	image, err := s.record(ctx, o)
	if err != nil {
		return Image{}, pullFailure(ref, err)
	}
	m.enter("unpacking", time.Now())
	if err := s.EnsureUnpacked(ctx, image, o.snapshotter); err != nil {
		return Image{}, pullFailure(ref, err)
	}
	return image, nil
}

// labels are those that a name has after a pull: the transfer replaces them,
// so what others put there is carried over.
func (s *Service) labels(ref string) map[string]string {
	labels := map[string]string{managedLabel: managedValue}
	maps.Copy(labels, s.index.load().records[ref].name.Labels)
	return labels
}

// transfer runs the transfer under a watchdog. A snapshotter for which the
// transfer service does not unpack is remembered and left to EnsureUnpacked.
func (s *Service) transfer(ctx context.Context, t engine.ImageTransfer, m *meter) error {
	snapshotter := t.Snapshotter
	if _, ok := s.fetchOnly.Load(snapshotter); ok {
		t.Snapshotter = ""
	}
	err := s.watched(ctx, t, m)
	if errdefs.IsNotImplemented(err) && t.Snapshotter != "" {
		s.fetchOnly.Store(snapshotter, true)
		t.Snapshotter = ""
		err = s.watched(ctx, t, m)
	}
	return err
}

func (s *Service) watched(ctx context.Context, t engine.ImageTransfer, m *meter) error {
	timeout := s.cfg.PullProgressTimeout.Std()
	ctx, stop := watchdog(ctx, m, timeout)
	defer stop(nil)
	err := telemetry.Span(ctx, "image.transfer", func(ctx context.Context) error {
		return s.store.TransferImage(ctx, t, func(p transfer.Progress) { m.note(p, time.Now()) })
	}, attribute.String("trivet.image.ref", t.Ref), attribute.String("trivet.snapshotter", t.Snapshotter))
	switch cause := context.Cause(ctx); {
	case err == nil || errdefs.IsNotImplemented(err):
		return err
	case cause != nil:
		return fmt.Errorf("pull %q (%s): %w", t.Ref, m, cause)
	default:
		return pullFailure(t.Ref, err)
	}
}

// record names what was pulled by its digest too, and returns it from the
// index.
func (s *Service) record(ctx context.Context, o order) (Image, error) {
	ref := o.named.String()
	name, err := s.store.GetImageName(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	byDigest, err := digestRef(o.named, name.Target.Digest)
	if err != nil {
		return Image{}, err
	}
	if byDigest != ref {
		// The digest first: a tag alone may move on and leave the image nameless.
		err := s.store.PutImageName(ctx, engine.ImageName{Name: byDigest, Target: name.Target, Labels: name.Labels})
		if err != nil {
			return Image{}, err
		}
	}
	for _, name := range []string{byDigest, ref} {
		if err := s.refresh(ctx, name); err != nil {
			return Image{}, err
		}
	}
	v := s.index.load()
	if bad := v.records[byDigest].problem; bad != nil {
		return Image{}, bad
	}
	return v.resolve(byDigest)
}
