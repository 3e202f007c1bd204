package spec

import (
	"maps"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// notifying is a profile that tells a socket of what it forbids, instead of
// forbidding it itself. What no rule is about is forbidden by the default action,
// which cannot tell: it becomes a rule. The given profile is not changed.
//
// Rules that answer ENOSYS forbid nothing: they have programs fall back to an
// older system call, as all do that start a thread.
func notifying(profile *specs.LinuxSeccomp, socket string) *specs.LinuxSeccomp {
	own := *profile
	own.ListenerPath = socket
	own.Syscalls = slices.Clone(profile.Syscalls)
	ruled := make(map[string]bool)
	for i, rule := range own.Syscalls {
		for _, name := range rule.Names {
			ruled[name] = true
		}
		if forbids(rule.Action, rule.ErrnoRet) && !slices.Contains(rule.Names, unheard) {
			own.Syscalls[i].Action, own.Syscalls[i].ErrnoRet = specs.ActNotify, nil
		}
	}
	if forbids(profile.DefaultAction, profile.DefaultErrnoRet) {
		ruled[unheard] = true
		if names := unruled(ruled); len(names) > 0 {
			own.Syscalls = append(own.Syscalls, specs.LinuxSyscall{Names: names, Action: specs.ActNotify})
		}
	}
	return &own
}

// unheard is the call by which OCI runtimes hand over, so that nobody could be
// told of it; they refuse profiles that try.
const unheard = "write"

// forbids tells whether an action keeps a container from what it wants.
func forbids(action specs.LinuxSeccompAction, errno *uint) bool {
	switch action {
	case specs.ActErrno:
		return errno == nil || *errno != uint(unix.ENOSYS)
	case specs.ActKill, specs.ActKillProcess, specs.ActKillThread:
		return true
	}
	return false
}

// unruled are this machine's system calls but for those that rules are about,
// sorted.
func unruled(ruled map[string]bool) []string {
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil // an architecture whose calls are not known
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(machine.SyscallNames)), func(name string) bool { return ruled[name] })
}
