package attach

import "github.com/trivet-cri/trivet/internal/config"

// OptionsOf are the options of the configuration.
func OptionsOf(cfg *config.Config) Options {
	return Options{
		AttachTimeout: cfg.CNI.AttachTimeout.Std(),
		DetachTimeout: cfg.CNI.DetachTimeout.Std(),
		GCInterval:    cfg.CNI.GCInterval.Std(),
		Grace:         cfg.Launcher.StopTimeout.Std(),
		Serially:      cfg.CNI.SetupSerially,
		IPPreference:  cfg.CNI.IPPref,
	}
}
