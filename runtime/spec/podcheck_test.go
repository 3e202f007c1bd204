package spec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/spec"
)

func TestCheckPod(t *testing.T) {
	t.Parallel()
	mapping := func(host, length uint32) []*runtimeapi.IDMapping {
		return []*runtimeapi.IDMapping{{HostId: host, Length: length}}
	}
	userns := func(o *runtimeapi.UserNamespace) *runtimeapi.LinuxSandboxSecurityContext {
		return &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{UsernsOptions: o}}
	}
	seccomp := func(p *runtimeapi.SecurityProfile) *runtimeapi.LinuxSandboxSecurityContext {
		return &runtimeapi.LinuxSandboxSecurityContext{Seccomp: p}
	}
	id := func(n int64) *runtimeapi.Int64Value { return &runtimeapi.Int64Value{Value: n} }
	for say, test := range map[string]struct {
		sc   *runtimeapi.LinuxSandboxSecurityContext
		kind error
	}{
		"":                                 {nil, nil},
		" ":                                {&runtimeapi.LinuxSandboxSecurityContext{RunAsGroup: id(5)}, nil},
		`run_as_user "-1"`:                 {&runtimeapi.LinuxSandboxSecurityContext{RunAsUser: id(-1)}, errdefs.ErrInvalidArgument},
		`run_as_group "4294967296"`:        {&runtimeapi.LinuxSandboxSecurityContext{RunAsGroup: id(1 << 32)}, errdefs.ErrInvalidArgument},
		"userns_options.mode CONTAINER":    {userns(&runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_CONTAINER}), errdefs.ErrInvalidArgument},
		"goes beyond the highest id":       {userns(&runtimeapi.UserNamespace{Uids: mapping(1<<32-10, 11), Gids: mapping(0, 1)}), errdefs.ErrInvalidArgument},
		"uids[0].length 0 maps nothing":    {userns(&runtimeapi.UserNamespace{Uids: mapping(1, 0), Gids: mapping(0, 1)}), errdefs.ErrInvalidArgument},
		`seccomp.localhost_ref "x.json"`:   {seccomp(&runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "x.json"}), errdefs.ErrInvalidArgument},
		`localhost_ref "/profiles/no"`:     {seccomp(&runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "/profiles/no"}), errdefs.ErrFailedPrecondition},
		"linux.security_context.seccomp.p": {seccomp(&runtimeapi.SecurityProfile{ProfileType: 9}), errdefs.ErrInvalidArgument},
	} {
		t.Run(say, func(t *testing.T) {
			t.Parallel()
			err := spec.CheckPod(&runtimeapi.PodSandboxConfig{Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: test.sc}}, config.Handler{}, config.Runtime{}, testHost())
			if !errors.Is(err, test.kind) || err != nil && !strings.Contains(err.Error(), say) {
				t.Errorf("got %v, want %v that says %q", err, test.kind, say)
			}
		})
	}
}
