//go:build e2e

package golden_test

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

const (
	uidGroupImage  = "gcr.io/k8s-staging-cri-tools/test-image-user-uid-group:latest"
	nameGroupImage = "gcr.io/k8s-staging-cri-tools/test-image-user-username-group:latest"
	memberImage    = "gcr.io/k8s-staging-cri-tools/test-image-predefined-group:latest"
	nonewprivs     = "registry.k8s.io/e2e-test-images/nonewprivs:1.3"
)

// as edits the security context.
func as(edit func(*runtimeapi.LinuxContainerSecurityContext)) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { edit(c.Linux.SecurityContext) }
}

func number(n int64) *runtimeapi.Int64Value { return &runtimeapi.Int64Value{Value: n} }

func uid(n int64) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.RunAsUser = number(n) })
}

func gid(n int64) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.RunAsGroup = number(n) })
}

func username(name string) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) { sc.RunAsUsername = name })
}

func groups(policy runtimeapi.SupplementalGroupsPolicy, gids ...int64) harness.ContainerEdit {
	return as(func(sc *runtimeapi.LinuxContainerSecurityContext) {
		sc.SupplementalGroupsPolicy, sc.SupplementalGroups = policy, gids
	})
}

const (
	merge  = runtimeapi.SupplementalGroupsPolicy_Merge
	strict = runtimeapi.SupplementalGroupsPolicy_Strict
)

var userRequests = map[string]request{
	"number":                    {edit: uid(1234)},
	"number of an account":      {edit: uid(33)},
	"number and group":          {edit: edits(uid(1234), gid(5678))},
	"account and other group":   {edit: edits(uid(33), gid(5678))},
	"root":                      {edit: uid(0)},
	"root and group":            {edit: edits(uid(0), gid(100))},
	"name":                      {edit: username("www-data")},
	"name and group":            {edit: edits(username("www-data"), gid(77))},
	"name wins over number":     {edit: edits(username("mail"), uid(33))},
	"numeric name":              {edit: username("4321")},
	"of image, uid and group":   {edit: harness.Image(uidGroupImage)},
	"of image, name and group":  {edit: harness.Image(nameGroupImage)},
	"number over that of image": {edit: edits(harness.Image(uidGroupImage), uid(33))},
	"groups, merge":             {edit: groups(merge, 1001, 5)},
	"groups, strict":            {edit: groups(strict, 1001, 5)},
	"groups of image, merge":    {edit: edits(harness.Image(memberImage), groups(merge, 1234))},
	"groups of image, strict":   {edit: edits(harness.Image(memberImage), groups(strict, 1234))},
	"member by uid, merge":      {edit: edits(harness.Image(memberImage), uid(1000), groups(merge))},
	"member by name, strict":    {edit: edits(harness.Image(memberImage), username("default-user"), groups(strict))},
	"member, other group":       {edit: edits(harness.Image(memberImage), uid(1000), gid(7), groups(merge, 9))},
	"groups twice":              {edit: groups(merge, 5, 5, 0)},
	"largest id":                {edit: edits(uid(2147483647), gid(2147483647))},
}
