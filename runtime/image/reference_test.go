package image_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/runtime/image"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for ref, want := range map[string]string{
		"busybox":                           "docker.io/library/busybox:latest",
		"busybox:1.36":                      "docker.io/library/busybox:1.36",
		"team/app":                          "docker.io/team/app:latest",
		"index.docker.io/library/busybox:1": "docker.io/library/busybox:1",
		"registry.k8s.io/pause:3.10":        "registry.k8s.io/pause:3.10",
		"localhost:5000/app":                "localhost:5000/app:latest",
		"busybox@" + sum:                    "docker.io/library/busybox@" + sum,
		"quay.io/a/b:tag@" + sum:            "quay.io/a/b@" + sum,
	} {
		if got, err := image.Normalize(ref); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", ref, got, err, want)
		}
	}
	for _, ref := range []string{"", "Team/App", "a b", "registry/x:", "x@sha256:12", strings.TrimPrefix(sum, "sha256:"), "../etc", "a:b:c"} {
		if got, err := image.Normalize(ref); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q is %q, %v", ref, got, err)
		}
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]struct {
		uid  int64
		name string
	}{
		"":            {-1, ""},
		"0":           {0, ""},
		"65535:65535": {65535, ""},
		"1000:staff":  {1000, ""},
		"www-data":    {-1, "www-data"},
		"nobody:0":    {-1, "nobody"},
	} {
		uid, name := image.User(spec)
		if name != want.name || (uid == nil) != (want.uid < 0) || (uid != nil && *uid != want.uid) {
			t.Errorf("%q is %v %q", spec, uid, name)
		}
	}
}

// FuzzNormalize: whatever is accepted is a fixed point, and has no characters
// that could lead a path or a log astray.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"busybox", "a/b/c:d", "x@sha256:" + strings.Repeat("a", 64), "h:1/p:t@sha256:" + strings.Repeat("0", 64), "..", "a//b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		once, err := image.Normalize(ref)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %v", ref, err)
			}
			return
		}
		twice, err := image.Normalize(once)
		if err != nil || twice != once {
			t.Errorf("%q becomes %q, then %q, %v", ref, once, twice, err)
		}
		if strings.ContainsAny(once, " \n\t\\\x00") || strings.Contains(once, "..") && !strings.Contains(ref, "..") {
			t.Errorf("%q becomes %q", ref, once)
		}
	})
}
