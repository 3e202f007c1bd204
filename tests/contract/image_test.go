//go:build e2e

package contract_test

import (
	"testing"
	"time"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/engine"
	"github.com/trivet-cri/trivet/runtime/image/imagetest"
	"github.com/trivet-cri/trivet/tests/harness"
)

// TestImages has a namespace of its own in containerd: the contract counts
// names and removes all of them.
func TestImages(t *testing.T) {
	store, err := engine.Connect(t.Context(), config.Containerd{
		Socket:         lab.ContainerdSocket,
		Namespace:      "trivet-contract-images",
		ConnectTimeout: config.Duration(30 * time.Second),
		RequestTimeout: config.Duration(2 * time.Minute),
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Client().Close(); err != nil {
			t.Error(err)
		}
	})
	subject := imagetest.Subject{
		Store:       store,
		Ref:         harness.Busybox,
		Other:       harness.Nginx,
		Missing:     "registry.k8s.io/e2e-test-images/no-such-image:9",
		HostDir:     lab.CertsDir,
		Snapshotter: "overlayfs",
		Second:      "native",
	}
	t.Run("contract", func(t *testing.T) { imagetest.Contract(t, subject) })
	t.Run("flows", func(t *testing.T) { imagetest.Flows(t, subject) })
}
