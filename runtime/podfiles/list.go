package podfiles

import (
	"fmt"
	"os"

	"github.com/trivet-cri/trivet/internal/ident"
)

// List returns the ids of all pods that have files, unusable ones too.
func (s *Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list pods' files: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && ident.Check("pod id", e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
