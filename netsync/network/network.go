// Package network loads CNI configurations and keeps the last good ones.
//
//	conf_dir, cni_conf_dir… ──fsnotify, poll──▶ Load ──▶ Snapshot ──▶ readers
//
// The invariant: a reader always gets an immutable Snapshot at once, and a
// network that was loaded stays loaded until a newer good configuration of
// its directory replaces it. A directory that is broken, empty or missing is
// an error in the Snapshot, never the end of the process.
package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/libcni"
)

// Network is one loaded CNI configuration. It is immutable.
type Network struct {
	// Name is the network's name in its configuration.
	Name string
	// File is the configuration file.
	File string
	// Interface is the name that the interface gets in a pod: eth0, eth1, …
	// in the order of the files.
	Interface string
	// Plugins are the plugin types in the order of ADD.
	Plugins []string
	// Config is the complete configuration as a conflist: also a single
	// plugin's .conf file and plugins in files of their own are inside.
	Config []byte
}

// Group is what one directory gives. It is immutable.
type Group struct {
	// Name is empty for the node's default, else the directory of a
	// runtime handler.
	Name string
	// Dir is the configuration directory.
	Dir string
	// Networks are the last good ones; empty if there never was a good one.
	Networks []*Network
	// Err says what is wrong with the newest configuration, nil if nothing.
	Err error
}

// Snapshot is the state of all groups at one time. It is immutable.
type Snapshot struct {
	// Groups begin with the default one.
	Groups []*Group
}

// Group returns the group called name; false when no such group is configured.
func (s *Snapshot) Group(name string) (*Group, bool) {
	for _, g := range s.Groups {
		if g.Name == name {
			return g, true
		}
	}
	return nil, false
}

// same tells whether two groups would look the same to every reader.
func (g *Group) same(other *Group) bool {
	return fmt.Sprint(g.Err) == fmt.Sprint(other.Err) &&
		slices.EqualFunc(g.Networks, other.Networks, func(a, b *Network) bool {
			return a.File == b.File && bytes.Equal(a.Config, b.Config)
		})
}

// complete returns list as JSON that needs no other file.
func complete(list *libcni.NetworkConfigList) ([]byte, error) {
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(list.Bytes, &fields); err != nil {
		return nil, err
	}
	plugins := make([]json.RawMessage, 0, len(list.Plugins))
	for _, p := range list.Plugins {
		plugins = append(plugins, p.Bytes)
	}
	inline, err := json.Marshal(plugins)
	if err != nil {
		return nil, err
	}
	fields["plugins"] = inline
	return json.Marshal(fields)
}
