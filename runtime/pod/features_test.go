package pod_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/pod"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
	"github.com/trivet-cri/trivet/runtime/spec"
)

// TestFeaturesOfHandler: a user namespace is refused where the handler has none.
func TestFeaturesOfHandler(t *testing.T) {
	t.Parallel()
	w := podtest.New()
	w.Handlers["runc"] = spec.Features{RecursiveReadOnly: true}
	s := pod.New(w.Deps())
	defer s.Close()
	cfg := podtest.Sandbox("web")
	ids := []*runtimeapi.IDMapping{{HostId: 100000, Length: 65536}}
	cfg.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Uids: ids, Gids: ids}
	_, err := s.Run(t.Context(), cfg, "")
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), `"runc"`) || !strings.Contains(err.Error(), "user namespaces") {
		t.Errorf("handler without user namespaces: %v", err)
	}
	if left := w.Leftovers(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := s.Run(t.Context(), cfg, "other"); err != nil {
		t.Errorf("handler with user namespaces: %v", err)
	}
	_, err = s.Run(t.Context(), podtest.Sandbox("api"), "fantasy")
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), `"fantasy"`) || !strings.Contains(err.Error(), "other, runc") {
		t.Errorf("unknown handler: %v", err)
	}
}
