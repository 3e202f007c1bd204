package spec

import (
	"io"
	"io/fs"
)

// DetectCgroups shows the external tests how a Host is filled on machines
// that are not this one.
func DetectCgroups(h *Host, files fs.FS) error { return h.detectCgroups(files) }

// ListsProfile shows them how the kernel's list of AppArmor profiles is read.
func ListsProfile(list io.Reader, profile string) (bool, error) { return listsProfile(list, profile) }
