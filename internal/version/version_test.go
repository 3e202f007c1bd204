package version_test

import (
	"regexp"
	"testing"

	"github.com/trivet-cri/trivet/internal/version"
)

// crictl and the kubelet parse it as a semantic version.
func TestVersionIsSemantic(t *testing.T) {
	t.Parallel()
	if got := version.String(); !regexp.MustCompile(`^v?\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$`).MatchString(got) {
		t.Errorf("version is %q", got)
	}
}
