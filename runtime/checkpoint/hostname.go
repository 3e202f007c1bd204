package checkpoint

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/encoding/protowire"
)

// The head of CRIU's image of a UTS namespace: two magic numbers and the size
// of the one message that follows, in the machine's byte order.
const (
	imageMagic = 0x54564319
	utsMagic   = 0x54473203
	utsHead    = 12
	// hostnameField is the number of nodename in CRIU's message UtsnsEntry.
	hostnameField = protowire.Number(1)
	maxUTS        = 4096
)

// SetHostname replaces the host name in an unpacked checkpoint. The restored
// processes live in a pod's UTS namespace, and CRIU would give the whole pod
// the name that the old one had.
func SetHostname(dir, hostname string) error {
	images, err := filepath.Glob(filepath.Join(dir, ImagesDir, "utsns-*.img"))
	if err != nil {
		return fmt.Errorf("set hostname of checkpoint: %w", err)
	}
	for _, path := range images {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("set hostname of checkpoint: %w", err)
		}
		if info.Size() > maxUTS {
			return fmt.Errorf("checkpoint: %s has %d bytes: %w", filepath.Base(path), info.Size(), errdefs.ErrInvalidArgument)
		}
		image, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("set hostname of checkpoint: %w", err)
		}
		if image, err = renamed(image, hostname); err != nil {
			return fmt.Errorf("checkpoint: %s: %w", filepath.Base(path), err)
		}
		if err := os.WriteFile(path, image, 0o600); err != nil {
			return fmt.Errorf("set hostname of checkpoint: %w", err)
		}
	}
	return nil
}

// renamed is the image of a UTS namespace with another host name.
func renamed(image []byte, hostname string) ([]byte, error) {
	order := binary.NativeEndian
	if len(image) < utsHead || order.Uint32(image) != imageMagic || order.Uint32(image[4:]) != utsMagic ||
		int(order.Uint32(image[8:])) != len(image)-utsHead {
		return nil, fmt.Errorf("not the image of a UTS namespace: %w", errdefs.ErrInvalidArgument)
	}
	message := protowire.AppendTag(nil, hostnameField, protowire.BytesType)
	message = protowire.AppendString(message, hostname)
	for rest := image[utsHead:]; len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", protowire.ParseError(n), errdefs.ErrInvalidArgument)
		}
		if number != hostnameField {
			message = append(message, rest[:n]...)
		}
		rest = rest[n:]
	}
	head := append([]byte(nil), image[:8]...)
	return append(order.AppendUint32(head, uint32(len(message))), message...), nil
}
