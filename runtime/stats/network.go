package stats

import (
	"fmt"
	"os"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/internal/netns"
)

// Namespaces reads the interfaces of network namespaces.
type Namespaces struct{}

// Interfaces are those of the namespace at path, but for lo. They are read
// from /proc, which takes no lock of the kernel's that a network's change would
// hold, as a dump over netlink does. Errors: NotFound if there is no namespace.
func (Namespaces) Interfaces(path string) ([]Interface, error) {
	namespace, err := netns.Open(path)
	if errdefs.IsInvalidArgument(err) { // as a pin is that was unmounted
		return nil, fmt.Errorf("%s: %w", err.Error(), errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = namespace.Close() }() // only read from
	var text []byte
	err = netns.Inside(namespace, func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read interfaces of network namespace %s: %w", path, err)
	}
	found, err := interfaces(string(text))
	if err != nil {
		return nil, fmt.Errorf("read interfaces of network namespace %s: %w", path, err)
	}
	return found, nil
}
