package nri

import (
	builtin "github.com/containerd/nri/plugins/default-validator/builtin"

	"github.com/trivet-cri/trivet/internal/config"
)

// validator is the configuration of the library's own validator, which runs in
// this process and is asked after all plugins, of whom it knows who has changed
// what.
func validator(c config.NRIValidator) *builtin.DefaultValidatorConfig {
	return &builtin.DefaultValidatorConfig{
		Enable:                                c.Enable,
		RejectOCIHookAdjustment:               c.RejectOCIHooks,
		RejectRuntimeDefaultSeccompAdjustment: c.RejectRuntimeDefaultSeccomp,
		RejectUnconfinedSeccompAdjustment:     c.RejectUnconfinedSeccomp,
		RejectCustomSeccompAdjustment:         c.RejectCustomSeccomp,
		RejectNamespaceAdjustment:             c.RejectNamespaces,
		RejectSysctlAdjustment:                c.RejectSysctls,
		RequiredPlugins:                       c.RequiredPlugins,
		TolerateMissingAnnotation:             c.TolerateMissing,
	}
}
