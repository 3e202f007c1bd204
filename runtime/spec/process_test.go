package spec_test

import (
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/spec"
	"github.com/trivet-cri/trivet/runtime/users"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command, args, entrypoint, cmd, want []string
	}{
		"image":                     {entrypoint: []string{"e"}, cmd: []string{"c"}, want: []string{"e", "c"}},
		"image without entrypoint":  {cmd: []string{"c"}, want: []string{"c"}},
		"image without cmd":         {entrypoint: []string{"e"}, want: []string{"e"}},
		"empty entrypoint":          {entrypoint: []string{""}, cmd: []string{"c"}, want: []string{"c"}},
		"args replace cmd":          {args: []string{"a"}, entrypoint: []string{"e"}, cmd: []string{"c"}, want: []string{"e", "a"}},
		"command replaces both":     {command: []string{"x"}, entrypoint: []string{"e"}, cmd: []string{"c"}, want: []string{"x"}},
		"command and args":          {command: []string{"x"}, args: []string{"a"}, entrypoint: []string{"e"}, cmd: []string{"c"}, want: []string{"x", "a"}},
		"nothing":                   {},
		"empty entrypoint, no more": {entrypoint: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Config.Command, in.Config.Args = test.command, test.args
			in.Image.Entrypoint, in.Image.Cmd = test.entrypoint, test.cmd
			if test.want == nil {
				refused(t, in, wrong, "command", "neither entrypoint nor cmd")
				return
			}
			if got := build(t, in).Process.Args; !slices.Equal(got, test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWorkingDir(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ config, image, want string }{
		"none":           {want: "/"},
		"image":          {image: "/srv", want: "/srv"},
		"image relative": {image: "srv/www", want: "/srv/www"},
		"request wins":   {config: "/tmp", image: "/srv", want: "/tmp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Config.WorkingDir, in.Image.WorkingDir = test.config, test.image
			if got := build(t, in).Process.Cwd; got != test.want {
				t.Fatalf("got %q, want %q", got, test.want)
			}
		})
	}
	in := plain()
	in.Config.WorkingDir = "tmp"
	refused(t, in, wrong, `working_dir "tmp" is not absolute`)
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for name, test := range map[string]struct {
		change func(*spec.Input)
		want   []string
	}{
		"defaults": {func(*spec.Input) {}, []string{path, "HOSTNAME=web-0"}},
		"host's name": {
			func(in *spec.Input) { in.Pod.Hostname = "" }, []string{path, "HOSTNAME=node"},
		},
		"terminal": {
			func(in *spec.Input) { in.Config.Tty = true }, []string{path, "TERM=xterm", "HOSTNAME=web-0"},
		},
		"image over defaults": {
			func(in *spec.Input) { in.Image.Env = []string{"PATH=/bin", "HOSTNAME=img", "A=1"} },
			[]string{"PATH=/bin", "HOSTNAME=img", "A=1"},
		},
		"request over image": {
			func(in *spec.Input) {
				in.Config.Tty = true
				in.Image.Env = []string{"A=1", "B=1", "TERM=dumb"}
				in.Config.Envs = []*runtimeapi.KeyValue{
					{Key: "B", Value: []byte("2=2")},
					{Key: "TERM", Value: []byte("vt100")},
					{Key: "BYTES", Value: []byte{0xff, 'x'}},
					{Key: "EMPTY"},
				}
			},
			[]string{path, "TERM=vt100", "HOSTNAME=web-0", "A=1", "B=2=2", "BYTES=\xffx", "EMPTY="},
		},
		"image unsets": {
			func(in *spec.Input) {
				in.Image.Env = []string{"A=1", "PATH", "A", "NEVER"}
				in.Config.Envs = []*runtimeapi.KeyValue{{Key: "A", Value: []byte("3")}}
			},
			[]string{"HOSTNAME=web-0", "A=3"},
		},
		"base is weakest": {
			func(in *spec.Input) {
				in.Base = &specs.Spec{Process: &specs.Process{Env: []string{"BASE=1", "A=0", "HOSTNAME=base"}}}
				in.Image.Env = []string{"A=1"}
			},
			[]string{"BASE=1", "A=1", "HOSTNAME=web-0", path},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := plain()
			in.Image.Env, in.Config.Envs = nil, nil
			test.change(&in)
			if got := build(t, in).Process.Env; !slices.Equal(got, test.want) {
				t.Fatalf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	in := plain()
	in.User = users.Resolved{UID: 5, GID: 6, AdditionalGIDs: []uint32{7}}
	got := build(t, in).Process.User
	if got.UID != 5 || got.GID != 6 || !slices.Equal(got.AdditionalGids, []uint32{6, 7}) {
		t.Fatalf("got %+v", got)
	}
}

// TestSharesNothing changes all that a caller may change in a spec, and
// expects the next one not to notice.
func TestSharesNothing(t *testing.T) {
	t.Parallel()
	in := plain()
	security(&in).Seccomp = &runtimeapi.SecurityProfile{}
	in.Image = ocispec.ImageConfig{Entrypoint: []string{"a", "b"}, Env: []string{"A=1"}}
	first := build(t, in)
	first.Process.Args[0], first.Process.Env[0] = "x", "X=x"
	first.Process.Capabilities.Bounding[0] = "CAP_X"
	first.Mounts[0].Options[0] = "x"
	first.Linux.MaskedPaths[0] = "/x"
	first.Linux.Seccomp.DefaultAction = specs.ActLog
	first.Linux.Seccomp.Syscalls = append(first.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"x"}})
	second := build(t, in)
	second.Linux.Seccomp.Syscalls = append(second.Linux.Seccomp.Syscalls, specs.LinuxSyscall{Names: []string{"y"}})
	if last := first.Linux.Seccomp.Syscalls[len(first.Linux.Seccomp.Syscalls)-1]; last.Names[0] != "x" {
		t.Fatal("what one spec adds to the seccomp profile overwrites what another added")
	}
	second = build(t, in)
	if second.Process.Args[0] != "a" || second.Process.Env[0] == "X=x" || second.Process.Capabilities.Bounding[0] == "CAP_X" ||
		second.Mounts[0].Options[0] == "x" || second.Linux.MaskedPaths[0] == "/x" ||
		second.Linux.Seccomp.DefaultAction == specs.ActLog || len(second.Linux.Seccomp.Syscalls) == len(first.Linux.Seccomp.Syscalls) {
		t.Fatal("a change of one spec shows in another")
	}
}
