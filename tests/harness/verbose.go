package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// infoPID reads the pid from the JSON document of a verbose status.
func infoPID(document string) (int, error) {
	var info struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(document), &info); err != nil {
		return 0, fmt.Errorf("verbose status: %w", err)
	}
	if info.PID <= 0 {
		return 0, errors.New("verbose status has no pid")
	}
	return info.PID, nil
}

// makeLogDir makes the directory of log inside base, which must exist.
func makeLogDir(base, log string) error {
	if _, err := os.Stat(base); err != nil {
		return nil // the endpoint must say what is wrong with it, not this client
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	return nil
}
