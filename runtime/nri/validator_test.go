package nri_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containerd/nri/pkg/api"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

// TestDefaultValidator: what a switch is about is refused, and all else is not.
func TestDefaultValidator(t *testing.T) {
	t.Parallel()
	profile := func(kind runtimeapi.SecurityProfile_ProfileType) *runtimeapi.SecurityProfile {
		p := &runtimeapi.SecurityProfile{ProfileType: kind}
		if kind == runtimeapi.SecurityProfile_Localhost {
			p.LocalhostRef = "/profile.json"
		}
		return p
	}
	seccomp := func(a *api.ContainerAdjustment) {
		a.SetLinuxSeccompPolicy(&api.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW"})
	}
	for what, test := range map[string]struct {
		rules   config.NRIValidator
		profile *runtimeapi.SecurityProfile
		adjust  func(*api.ContainerAdjustment)
		refused string // empty for nothing
	}{
		"hooks": {
			config.NRIValidator{RejectOCIHooks: true},
			nil,
			func(a *api.ContainerAdjustment) { a.AddHooks(&api.Hooks{Poststop: []*api.Hook{{Path: "/bin/x"}}}) }, "OCI hook",
		},
		"default profile":       {config.NRIValidator{RejectRuntimeDefaultSeccomp: true}, profile(runtimeapi.SecurityProfile_RuntimeDefault), seccomp, "runtime default seccomp"},
		"no profile":            {config.NRIValidator{RejectUnconfinedSeccomp: true}, nil, seccomp, "unconfined seccomp"},
		"no profile, let":       {config.NRIValidator{RejectRuntimeDefaultSeccomp: true, RejectCustomSeccomp: true}, nil, seccomp, ""},
		"unconfined, let":       {config.NRIValidator{RejectOCIHooks: true}, profile(runtimeapi.SecurityProfile_Unconfined), seccomp, ""},
		"default profile, let":  {config.NRIValidator{RejectUnconfinedSeccomp: true}, profile(runtimeapi.SecurityProfile_RuntimeDefault), seccomp, ""},
		"namespaces":            {config.NRIValidator{RejectNamespaces: true}, nil, func(a *api.ContainerAdjustment) { a.RemoveNamespace(&api.LinuxNamespace{Type: "ipc"}) }, "namespace"},
		"sysctls":               {config.NRIValidator{RejectSysctls: true}, nil, func(a *api.ContainerAdjustment) { a.SetLinuxSysctl("net.core.somaxconn", "7") }, "sysctl"},
		"something else":        {config.NRIValidator{RejectSysctls: true, RejectNamespaces: true, RejectOCIHooks: true}, nil, func(a *api.ContainerAdjustment) { a.AddEnv("A", "B") }, ""},
		"required, there":       {config.NRIValidator{RequiredPlugins: []string{"adjuster"}}, nil, nil, ""},
		"required, not there":   {config.NRIValidator{RequiredPlugins: []string{"other"}}, nil, nil, "other"},
		"required, but for pod": {config.NRIValidator{RequiredPlugins: []string{"other"}, TolerateMissing: "tolerate.test"}, nil, nil, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, func(c *config.NRI) { c.Validator = test.rules; c.Validator.Enable = true })
			n.connect(t, "10", "adjuster", func(p *plugin) {
				p.adjust = func(*api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate) {
					a := &api.ContainerAdjustment{}
					if test.adjust != nil {
						test.adjust(a)
					}
					return a, nil
				}
			})
			sandbox := podtest.Sandbox("web")
			sandbox.Annotations = map[string]string{"tolerate.test": "true"}
			p, err := n.pods.Run(t.Context(), sandbox, "")
			if err != nil {
				t.Fatal(err)
			}
			cfg := containertest.Config("server")
			cfg.Linux.SecurityContext.Seccomp = test.profile
			_, err = n.containers.Create(t.Context(), p, cfg)
			if test.refused == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if test.refused != "" && (!errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNoDefaultValidator: its rules are nothing unless it is enabled.
func TestNoDefaultValidator(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(c *config.NRI) { c.Validator.RequiredPlugins = []string{"other"} })
	n.create(t, n.run(t, "web"), "server")
}
