package ident

import "os"

// InDir returns the ids that entries of a directory are named for, sorted;
// other entries are passed over.
func InDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if Check("id", e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
