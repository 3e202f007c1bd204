package container

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// fit checks that the process of the checkpoint can live in what spec
// describes, and makes spec's process the checkpointed one: that is what
// commands run in the container are like. Without a checkpoint it does nothing.
func (o *origin) fit(spec *specs.Spec) error {
	if o == nil {
		return nil
	}
	was, is := &o.Spec, spec
	if was.Process.Terminal != is.Process.Terminal {
		return mismatch("config.tty is %t, the checkpoint's is %t", is.Process.Terminal, was.Process.Terminal)
	}
	if err := fitMounts(was, is); err != nil {
		return err
	}
	if err := fitNamespaces(was, is); err != nil {
		return err
	}
	if namespaceOf(is, specs.UserNamespace) != theHosts {
		// CRIU cannot attach to the process that it has put into one.
		return fmt.Errorf("containers with a user namespace cannot be restored by CRIU: %w", errdefs.ErrNotImplemented)
	}
	if o.strict {
		return sameProcess(was.Process, is.Process)
	}
	is.Process.Args, is.Process.Env, is.Process.Cwd, is.Process.User = was.Process.Args, was.Process.Env, was.Process.Cwd, was.Process.User
	return nil
}

func mismatch(format string, args ...any) error {
	return fmt.Errorf("the checkpoint does not fit: "+format+": %w", append(args, errdefs.ErrInvalidArgument)...)
}

// fitMounts: CRIU puts each bind mount that was there back to its place.
func fitMounts(was, is *specs.Spec) error {
	there := make(map[string]bool)
	for _, m := range is.Mounts {
		there[path.Clean(m.Destination)] = true
	}
	for _, m := range was.Mounts {
		bound := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
		if bound && !there[path.Clean(m.Destination)] {
			return mismatch("nothing is mounted at %.200q, as it was", m.Destination)
		}
	}
	return nil
}

// fitNamespaces: a process cannot be put into namespaces of another kind.
func fitNamespaces(was, is *specs.Spec) error {
	for _, kind := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.UserNamespace} {
		if before, now := namespaceOf(was, kind), namespaceOf(is, kind); before != now {
			return mismatch("its %s namespace was %s and is %s", kind, before, now)
		}
	}
	return nil
}

const theHosts = "the host's"

// namespaceOf tells whose a container's namespace is.
func namespaceOf(s *specs.Spec, kind specs.LinuxNamespaceType) string {
	for _, ns := range s.Linux.Namespaces {
		if ns.Type != kind {
			continue
		}
		if ns.Path != "" {
			return "the pod's"
		}
		return "its own"
	}
	return theHosts
}

// sameProcess: what the request says of the process must be so.
func sameProcess(was, is *specs.Process) error {
	switch {
	case !slices.Equal(was.Args, is.Args):
		return mismatch("command and args are %.200q, and were %.200q", is.Args, was.Args)
	case was.Cwd != is.Cwd:
		return mismatch("working_dir is %.200q, and was %.200q", is.Cwd, was.Cwd)
	case was.User.UID != is.User.UID || was.User.GID != is.User.GID:
		return mismatch("the user is %d:%d, and was %d:%d", is.User.UID, is.User.GID, was.User.UID, was.User.GID)
	}
	if !slices.Equal(environment(was), environment(is)) {
		// The values may be secrets.
		return mismatch("envs are not those of the checkpoint")
	}
	return nil
}

// environment is a process's, sorted, without what tells of its pod and
// processors, which are others after a restore.
func environment(p *specs.Process) []string {
	env := slices.DeleteFunc(slices.Clone(p.Env), func(one string) bool {
		name, _, _ := strings.Cut(one, "=")
		return name == "HOSTNAME" || name == "GOMAXPROCS" || strings.HasPrefix(name, "OPENSHIFT_") && strings.HasSuffix(name, "_CPUS")
	})
	slices.Sort(env)
	return env
}
