package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// InUse returns the subnets that the machine has an address or a route in.
// Those of the bridges that ours says are a lab's own are left out.
func InUse(ours func(link string) bool) ([]netip.Prefix, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	own := make(map[int]bool)
	for _, link := range links {
		own[link.Attrs().Index] = ours(link.Attrs().Name)
	}
	var used []netip.Prefix
	add := func(index int, subnet *net.IPNet) {
		if subnet == nil || own[index] {
			return
		}
		address, ok := netip.AddrFromSlice(subnet.IP)
		if ones, _ := subnet.Mask.Size(); ok && ones > 0 { // not the default route
			used = append(used, netip.PrefixFrom(address.Unmap(), ones).Masked())
		}
	}
	addresses, err := netlink.AddrList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, address := range addresses {
		add(address.LinkIndex, address.IPNet)
	}
	routes, err := netlink.RouteList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, route := range routes {
		add(route.LinkIndex, route.Dst)
	}
	return used, nil
}

// RemoveBridge removes a bridge and the interfaces on it. It may be missing.
func RemoveBridge(name string) error {
	bridge, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove bridge %s: %w", name, err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("remove bridge %s: %w", name, err)
	}
	var failed []error
	for _, link := range links {
		if link.Attrs().MasterIndex == bridge.Attrs().Index {
			failed = append(failed, removeLink(link))
		}
	}
	return errors.Join(append(failed, removeLink(bridge))...)
}

// removeLink removes an interface. A veth may go by itself meanwhile, with
// the network namespace of its peer.
func removeLink(link netlink.Link) error {
	err := netlink.LinkDel(link)
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove interface %s: %w", link.Attrs().Name, err)
	}
	return nil
}
