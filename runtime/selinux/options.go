package selinux

import (
	"fmt"
	"regexp"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var (
	// identifiers are what policies name users, roles and types. Anything else
	// could make a label of more parts, or a mount of more options.
	identifiers = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)
	// levels are sensitivities with categories: s0, s0-s1, s0:c1,c2, s0:c1.c5.
	levels = regexp.MustCompile(`^s\d{1,2}(-s\d{1,2})?(:c\d{1,4}(\.c\d{1,4})?(,c\d{1,4}(\.c\d{1,4})?)*)?$`)
)

// Check returns ErrInvalidArgument unless labels can be made of the options.
// field names them in messages.
func Check(field string, o *runtimeapi.SELinuxOption) error {
	for _, part := range parts(o) {
		wanted := identifiers
		if part.name == "level" {
			wanted = levels
		}
		if part.value != "" && (len(part.value) > 4096 || !wanted.MatchString(part.value)) {
			return fmt.Errorf("%s.%s %.200q is not one: %w", field, part.name, part.value, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

type part struct{ name, value string }

func parts(o *runtimeapi.SELinuxOption) []part {
	return []part{{"user", o.GetUser()}, {"role", o.GetRole()}, {"type", o.GetType()}, {"level", o.GetLevel()}}
}

// list is the options as the library takes them.
func list(o *runtimeapi.SELinuxOption) []string {
	var options []string
	for _, part := range parts(o) {
		if part.value != "" {
			options = append(options, part.name+":"+part.value)
		}
	}
	return options
}
