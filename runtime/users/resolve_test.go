package users_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/users"
)

const (
	passwd = `# comment:x:0:0
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
app:x:1000:1001:App,,,:/home/app:/bin/sh
twin:x:1000:7:second with this uid:/twin:/bin/sh
bare:x:12:13
bad:x:abc:0::/:/bin/sh
minus:x:-5:0::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
over:x:2147483648:0::/:/bin/sh
max:x:2147483647:2147483647::/:/bin/sh
+nis:x:0:0::/:/bin/sh
short:x:5
`
	groups = `root:x:0:
app:x:1001:app
wheel:x:10:root,app
audio:x:29:app,
video:x:44:other, app
bad:x:zero:app
self:x:50:self
max:x:2147483647:
`
)

func uid(n int64) *runtimeapi.Int64Value { return &runtimeapi.Int64Value{Value: n} }

func TestResolve(t *testing.T) {
	t.Parallel()
	strict := runtimeapi.SupplementalGroupsPolicy_Strict
	app := users.Resolved{UID: 1000, GID: 1001, AdditionalGIDs: []uint32{10, 29, 1001}, Username: "app", Home: "/home/app"}
	root := users.Resolved{AdditionalGIDs: []uint32{0, 10}, Username: "root", Home: "/root"}
	with := func(r users.Resolved, change func(*users.Resolved)) users.Resolved { change(&r); return r }
	for name, test := range map[string]struct {
		sc    *runtimeapi.LinuxContainerSecurityContext
		image string
		want  users.Resolved
		err   string // part of the message
	}{
		"nothing is root":   {want: root},
		"image name":        {image: "app", want: app},
		"image uid":         {image: "1000", want: app},
		"image name, group": {image: "app:wheel", want: with(app, func(r *users.Resolved) { r.GID = 10; r.AdditionalGIDs = []uint32{10, 29} })},
		"image name, gid": {image: "app:5", want: with(app, func(r *users.Resolved) {
			r.GID = 5
			r.AdditionalGIDs = []uint32{5, 10, 29}
		})},
		"image uid, group":        {image: "77:audio", want: users.Resolved{UID: 77, GID: 29, AdditionalGIDs: []uint32{29}}},
		"image uid, gid":          {image: "77:88", want: users.Resolved{UID: 77, GID: 88, AdditionalGIDs: []uint32{88}}},
		"image uid, empty group":  {image: "1000:", want: app},
		"image group alone":       {image: ":10", want: with(root, func(r *users.Resolved) { r.GID = 10; r.AdditionalGIDs = []uint32{10} })},
		"image unknown name":      {image: "nobody", err: `the image's user "nobody" is not in the image's /etc/passwd`},
		"image unknown group":     {image: "app:nobody", err: `the image's user (group) "nobody" is not in the image's /etc/group`},
		"image two colons":        {image: "1:2:3", err: "more than one colon"},
		"image uid out of range":  {image: "2147483648", err: "is not between"},
		"image uid far out":       {image: "99999999999999999999", err: "is not between"},
		"image negative uid":      {image: "-1", err: "is not between"},
		"image gid out of range":  {image: "0:4294967296", err: "is not between"},
		"name with a bad number":  {image: "bad", err: "is not in the image's /etc/passwd"},
		"name with a negative id": {image: "minus", err: "is not in the image's /etc/passwd"},
		"name with a wrapping id": {image: "huge", err: "is not in the image's /etc/passwd"},
		"name with a large id":    {image: "over", err: "is not in the image's /etc/passwd"},
		"name with a short line":  {image: "short", err: "is not in the image's /etc/passwd"},
		"name of NIS":             {image: "+nis", err: "is not in the image's /etc/passwd"},
		"name without home":       {image: "bare", want: users.Resolved{UID: 12, GID: 13, AdditionalGIDs: []uint32{13}, Username: "bare"}},
		"largest id": {image: "max", want: users.Resolved{
			UID: users.MaxID, GID: users.MaxID, AdditionalGIDs: []uint32{users.MaxID}, Username: "max", Home: "/",
		}},
		"request wins": {
			sc:    &runtimeapi.LinuxContainerSecurityContext{RunAsUser: uid(1)},
			image: "app:wheel",
			want:  users.Resolved{UID: 1, GID: 1, AdditionalGIDs: []uint32{1}, Username: "daemon", Home: "/usr/sbin"},
		},
		"request of root": {sc: &runtimeapi.LinuxContainerSecurityContext{RunAsUser: uid(0)}, image: "app", want: root},
		"request of unknown uid": {
			sc:   &runtimeapi.LinuxContainerSecurityContext{RunAsUser: uid(4242)},
			want: users.Resolved{UID: 4242, AdditionalGIDs: []uint32{0}},
		},
		"request of uid and gid": {
			sc:   &runtimeapi.LinuxContainerSecurityContext{RunAsUser: uid(1000), RunAsGroup: uid(3000)},
			want: with(app, func(r *users.Resolved) { r.GID = 3000; r.AdditionalGIDs = []uint32{10, 29, 3000} }),
		},
		"request of name": {sc: &runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "app"}, want: app},
		"request of name and uid takes the name": {
			sc: &runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "app", RunAsUser: uid(1)}, want: app,
		},
		"request of name and gid": {
			sc:   &runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "app", RunAsGroup: uid(0)},
			want: with(app, func(r *users.Resolved) { r.GID = 0; r.AdditionalGIDs = []uint32{0, 10, 29} }),
		},
		"request of gid alone": {
			sc:    &runtimeapi.LinuxContainerSecurityContext{RunAsGroup: uid(1)},
			image: "app",
			err:   `linux.security_context.run_as_group "1" is set without run_as_user or run_as_username`,
		},
		"request of unknown name": {
			sc:  &runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "eve"},
			err: `linux.security_context.run_as_username "eve" is not in`,
		},
		"request of name with group": {sc: &runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "app:wheel"}, err: "contains a colon"},
		"request of negative uid":    {sc: &runtimeapi.LinuxContainerSecurityContext{RunAsUser: uid(-1)}, err: `run_as_user "-1" is not between`},
		"request of wrapping uid":    {sc: &runtimeapi.LinuxContainerSecurityContext{RunAsUser: uid(1 << 32)}, err: "is not between"},
		"request of negative gid":    {sc: &runtimeapi.LinuxContainerSecurityContext{RunAsUser: uid(1), RunAsGroup: uid(-1)}, err: "is not between"},
		"merge": {
			sc:    &runtimeapi.LinuxContainerSecurityContext{SupplementalGroups: []int64{5000, 10}},
			image: "app",
			want:  with(app, func(r *users.Resolved) { r.AdditionalGIDs = []uint32{10, 29, 1001, 5000} }),
		},
		"strict": {
			sc:    &runtimeapi.LinuxContainerSecurityContext{SupplementalGroups: []int64{5000, 10}, SupplementalGroupsPolicy: strict},
			image: "app",
			want:  with(app, func(r *users.Resolved) { r.AdditionalGIDs = []uint32{10, 1001, 5000} }),
		},
		"strict without groups": {
			sc:    &runtimeapi.LinuxContainerSecurityContext{SupplementalGroupsPolicy: strict},
			image: "app",
			want:  with(app, func(r *users.Resolved) { r.AdditionalGIDs = []uint32{1001} }),
		},
		"unknown policy":   {sc: &runtimeapi.LinuxContainerSecurityContext{SupplementalGroupsPolicy: 9}, err: "supplemental_groups_policy"},
		"negative group":   {sc: &runtimeapi.LinuxContainerSecurityContext{SupplementalGroups: []int64{-1}}, err: "is out of range"},
		"too large group":  {sc: &runtimeapi.LinuxContainerSecurityContext{SupplementalGroups: []int64{1 << 31}}, err: "is out of range"},
		"own group no sup": {image: "0:0", sc: &runtimeapi.LinuxContainerSecurityContext{SupplementalGroupsPolicy: strict}, want: with(root, func(r *users.Resolved) { r.AdditionalGIDs = []uint32{0} })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := users.Resolve(users.Parse(passwd, groups), test.sc, test.image)
			if test.err != "" {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want ErrInvalidArgument with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Fatalf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestResolveWithoutDatabase(t *testing.T) {
	t.Parallel()
	got, err := users.Resolve(nil, nil, "5:6")
	if want := (users.Resolved{UID: 5, GID: 6, AdditionalGIDs: []uint32{6}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := users.Resolve(nil, nil, "root"); !errdefs.IsInvalidArgument(err) {
		t.Fatalf("got %v for a name, want ErrInvalidArgument", err)
	}
}
