package podcidr

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"text/template"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/netsync/network"
)

// maxRendered bounds a rendered configuration, in bytes.
const maxRendered = 1 << 20

// values are what a template may use; the names are those of containerd's
// conf_template, so that its templates work unchanged.
type values struct {
	// PodCIDR is the first of PodCIDRRanges.
	PodCIDR string
	// PodCIDRRanges are the node's pod CIDRs.
	PodCIDRRanges []string
	// Routes are the default routes of the CIDRs' address families.
	Routes []string
}

// Validate returns ErrInvalidArgument unless cidrs are at most two prefixes,
// and two are of different address families.
func Validate(cidrs []string) error {
	if len(cidrs) > 2 {
		return fmt.Errorf("%d pod CIDRs, at most one for each address family: %w", len(cidrs), errdefs.ErrInvalidArgument)
	}
	v4 := make([]bool, 0, len(cidrs))
	for _, cidr := range cidrs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return fmt.Errorf("pod CIDR %q is not a prefix: %w", cidr, errdefs.ErrInvalidArgument)
		}
		v4 = append(v4, prefix.Addr().Unmap().Is4())
	}
	if len(cidrs) == 2 && v4[0] == v4[1] {
		return fmt.Errorf("pod CIDRs %q and %q are of the same address family: %w", cidrs[0], cidrs[1], errdefs.ErrInvalidArgument)
	}
	return nil
}

// Render fills the template with valid cidrs, at least one. Errors are
// ErrFailedPrecondition: it is the template that is wrong, also when it
// gives something that is no CNI configuration.
func Render(text string, cidrs []string) ([]byte, error) {
	parsed, err := template.New("conf_template").Parse(text)
	if err != nil {
		return nil, precondition(err)
	}
	data := values{PodCIDR: cidrs[0], PodCIDRRanges: cidrs}
	for _, cidr := range cidrs {
		route := "0.0.0.0/0"
		if !netip.MustParsePrefix(cidr).Addr().Unmap().Is4() {
			route = "::/0"
		}
		data.Routes = append(data.Routes, route)
	}
	out := &bounded{}
	if err := parsed.Execute(out, data); err != nil {
		return nil, precondition(err)
	}
	if _, err := network.Parse(out.Bytes()); err != nil {
		return nil, precondition(fmt.Errorf("its result is no CNI configuration: %s", err.Error()))
	}
	return out.Bytes(), nil
}

func precondition(err error) error {
	return fmt.Errorf("%w: %w", err, errdefs.ErrFailedPrecondition)
}

// bounded ends a template that would fill the memory.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRendered {
		return 0, errors.New("result is too long")
	}
	return b.Buffer.Write(p)
}
