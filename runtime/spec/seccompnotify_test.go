package spec_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestSeccompNotify(t *testing.T) {
	t.Parallel()
	enosys := uint(unix.ENOSYS)
	profile := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"read", "openat"}, Action: specs.ActAllow},
		{Names: []string{"swapon"}, Action: specs.ActKillProcess},
		{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys},
		{Names: []string{"write", "pwrite64"}, Action: specs.ActErrno},
		{Names: []string{"ptrace"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Value: 1, Op: specs.OpEqualTo}}},
	}}
	in := plain()
	in.Host.Machine = board{seccomp: map[string]*specs.LinuxSeccomp{"/p.json": profile}}
	security(&in).Seccomp, in.SeccompSocket = local("/p.json"), "/run/it.sock"
	got := build(t, in).Linux.Seccomp
	if got.ListenerPath != "/run/it.sock" || got.DefaultAction != specs.ActErrno || len(got.Syscalls) != 6 {
		t.Fatalf("got %+v", got)
	}
	for i, want := range []specs.LinuxSeccompAction{specs.ActAllow, specs.ActNotify, specs.ActErrno, specs.ActErrno, specs.ActNotify, specs.ActNotify} {
		if got.Syscalls[i].Action != want {
			t.Errorf("rule %d is %+v, want %s", i, got.Syscalls[i], want)
		}
	}
	rest := got.Syscalls[5].Names
	if !slices.Contains(rest, "swapoff") {
		t.Errorf("swapoff is not told of: %q", rest)
	}
	for _, name := range []string{"read", "write", "swapon", "clone3", "ptrace"} {
		if slices.Contains(rest, name) {
			t.Errorf("%s has two rules", name)
		}
	}
	if profile.ListenerPath != "" || len(profile.Syscalls) != 5 || profile.Syscalls[1].Action != specs.ActKillProcess {
		t.Errorf("the given profile is changed: %+v", profile)
	}
	security(&in).Seccomp = runtimeDefault
	s := build(t, in)
	if last := s.Linux.Seccomp.Syscalls[len(s.Linux.Seccomp.Syscalls)-1]; last.Action != specs.ActNotify || !slices.Contains(last.Names, "swapoff") {
		t.Errorf("default: the last rule is %+v", last)
	}
	in.SeccompSocket = ""
	if again := build(t, in).Linux.Seccomp; len(again.Syscalls) != len(s.Linux.Seccomp.Syscalls)-1 || again.ListenerPath != "" {
		t.Error("the default profile is changed for others")
	}
	in.SeccompSocket, security(&in).Seccomp = "/run/it.sock", unconfined
	if got := build(t, in).Linux.Seccomp; got != nil {
		t.Errorf("unconfined: got %+v", got)
	}
}
