package spec

import (
	"fmt"
	"os"
	"path/filepath"
)

const (
	zoneinfo      = "/usr/share/zoneinfo"
	hostLocaltime = "/etc/localtime"
)

// Localtime is the file of a time zone of this machine, for Host: that of the
// tz database, or the host's own for Local. It is empty for an empty zone. An
// error names the file that is missing, or is no file.
func Localtime(zone string) (string, error) {
	file := filepath.Join(zoneinfo, zone)
	switch zone {
	case "":
		return "", nil
	case "Local":
		// The link itself, which the host changes with its zone.
		file = hostLocaltime
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("find time zone %q: %w", zone, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("find time zone %q: %s is not a file", zone, file)
	}
	return file, nil
}
