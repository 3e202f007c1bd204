package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// conflist is a CNI configuration, as far as pods leave something of it.
type conflist struct {
	Name    string `json:"name"`
	Plugins []struct {
		Bridge string `json:"bridge"`
		IPAM   struct {
			DataDir string `json:"dataDir"`
		} `json:"ipam"`
	} `json:"plugins"`
}

// conflists reads the lab's CNI configurations.
func (l *Lab) conflists() ([]conflist, error) {
	files, err := filepath.Glob(filepath.Join(l.CNIConfDir, "*.conflist"))
	if err != nil {
		return nil, err
	}
	var lists []conflist
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var list conflist
		if json.Unmarshal(text, &list) != nil {
			continue // broken on purpose
		}
		lists = append(lists, list)
	}
	return lists, nil
}

// networkResidue finds the interfaces on the lab's bridges and the addresses
// that host-local has given out.
func (l *Lab) networkResidue(found Residue) error {
	lists, err := l.conflists()
	if err != nil {
		return err
	}
	for _, list := range lists {
		for _, plugin := range list.Plugins {
			if plugin.Bridge != "" {
				links, _ := filepath.Glob(fmt.Sprintf("/sys/class/net/%s/brif/*", plugin.Bridge))
				for _, link := range links {
					found.add("interface", filepath.Base(link))
				}
			}
			if plugin.IPAM.DataDir != "" {
				addresses, _ := filepath.Glob(filepath.Join(plugin.IPAM.DataDir, list.Name, "*"))
				for _, address := range addresses {
					if name := filepath.Base(address); name != "lock" && !strings.HasPrefix(name, "last_reserved_ip") {
						found.add("address", name)
					}
				}
			}
		}
	}
	return nil
}

// cgroupResidue finds the cgroups below the lab's parent.
func (l *Lab) cgroupResidue(found Residue) error {
	for _, hierarchy := range cgroupHierarchies() {
		parent := filepath.Join(hierarchy, l.CgroupParent)
		err := filepath.WalkDir(parent, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			// The parent is the lab's: the first pod makes it, and the lab removes it.
			if err == nil && entry.IsDir() && path != parent {
				found.add("cgroup", path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
