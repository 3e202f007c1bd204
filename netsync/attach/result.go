package attach

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	gocni "github.com/containerd/go-cni"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/trivet-cri/trivet/netsync/ledger"
)

// merge makes one result of those of all networks. The pod's addresses are
// those of the first network's interface.
func merge(entry *ledger.Entry, results []*types100.Result, preference string) (*ledger.Result, error) {
	merged := &ledger.Result{}
	// The JSON has the form of go-cni's result, which tools know from the
	// verbose pod status.
	verbose := gocni.Result{Interfaces: make(map[string]*gocni.Config)}
	var ips []net.IP
	for i, result := range results {
		n := entry.Networks[i]
		for _, iface := range result.Interfaces {
			if iface == nil {
				return nil, fmt.Errorf("network %q: result: an interface is empty", n.Name)
			}
			merged.Interfaces = append(merged.Interfaces, ledger.Interface{Name: iface.Name, MAC: iface.Mac, Sandbox: iface.Sandbox})
			verbose.Interfaces[iface.Name] = &gocni.Config{Mac: iface.Mac, Sandbox: iface.Sandbox, PciID: iface.PciID, SocketPath: iface.SocketPath}
		}
		for _, ip := range result.IPs {
			name, err := ownerOf(ip, result.Interfaces, n.Interface)
			if err != nil {
				return nil, fmt.Errorf("network %q: result: %w", n.Name, err)
			}
			if verbose.Interfaces[name] == nil {
				verbose.Interfaces[name] = &gocni.Config{}
			}
			config := verbose.Interfaces[name]
			config.IPConfigs = append(config.IPConfigs, &gocni.IPConfig{IP: ip.Address.IP, Gateway: ip.Gateway})
			if name == entry.Networks[0].Interface {
				ips = append(ips, ip.Address.IP)
			}
		}
		verbose.DNS = append(verbose.DNS, result.DNS)
		verbose.Routes = append(verbose.Routes, result.Routes...)
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("network %q has given %s no address", entry.Networks[0].Name, entry.Networks[0].Interface)
	}
	merged.IPs = order(ips, preference)
	var err error
	if merged.CNI, err = json.Marshal(&verbose); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return merged, nil
}

// ownerOf is the name of the interface that has the address; a plugin that
// makes one interface need not say.
func ownerOf(ip *types100.IPConfig, interfaces []*types100.Interface, usual string) (string, error) {
	if ip == nil || ip.Address.IP == nil {
		return "", errors.New("an address is empty")
	}
	if ip.Interface == nil {
		return usual, nil
	}
	if *ip.Interface < 0 || *ip.Interface >= len(interfaces) {
		return "", fmt.Errorf("address %s is of interface %d, there are %d", ip.Address.IP, *ip.Interface, len(interfaces))
	}
	return interfaces[*ip.Interface].Name, nil
}

// order puts the first address of the preferred family first; the others
// stay in the plugin's order.
func order(ips []net.IP, preference string) []string {
	var first, rest []string
	for _, ip := range ips {
		v4 := ip.To4() != nil
		if len(first) == 0 && (preference == "ipv4" && v4 || preference == "ipv6" && !v4) {
			first = append(first, ip.String())
			continue
		}
		rest = append(rest, ip.String())
	}
	return append(first, rest...)
}
