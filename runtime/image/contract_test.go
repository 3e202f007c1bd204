package image_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/runtime/image/imagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func subject() imagetest.Subject {
	const ref, other = "registry.example/team/app:1", "registry.example/pause:3"
	store := imagetest.NewStore()
	store.FetchOnly = []string{"native"}
	store.Serve(ref, imagetest.NewContent("app"))
	store.Serve(other, imagetest.NewContent("pause"))
	return imagetest.Subject{
		Store: store, Ref: ref, Other: other, Missing: "registry.example/absent:9",
		Snapshotter: "overlayfs", Second: "native",
	}
}

// The fake fulfils what real containerd fulfils too: see tests/contract.
func TestContractOfFake(t *testing.T) {
	t.Parallel()
	s := subject()
	// The digest in the registry, so that it can be pulled by it.
	c := imagetest.NewContent("app")
	s.Store.(*imagetest.Store).Serve("registry.example/team/app@"+c.Target.Digest.String(), c)
	imagetest.Contract(t, s)
	imagetest.Flows(t, s)
}
