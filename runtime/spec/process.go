package spec

import (
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/runtime/users"
)

// defaultPath is PATH for images that set none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// setProcess says what runs, where, with which environment, and as whom.
func setProcess(in *Input, s *specs.Spec) error {
	if err := checkProcess(in.Config); err != nil {
		return err
	}
	args, err := arguments(in.Config, &in.Image)
	if err != nil {
		return err
	}
	s.Process.Args, s.Process.CommandLine = args, ""

	switch dir := in.Config.GetWorkingDir(); {
	case dir != "" && !path.IsAbs(dir):
		return invalid("working_dir", dir, "is not absolute")
	case dir != "":
		s.Process.Cwd = dir
	default:
		setImageCwd(&in.Image, s)
	}

	s.Process.Terminal = in.Config.GetTty()
	s.Process.Env = environment(in, s.Process.Env)
	setUser(in.User, s)
	s.Process.NoNewPrivileges = in.security().GetNoNewPrivs()
	s.Root.Readonly = s.Root.Readonly || in.readonlyRoot()
	return nil
}

// arguments joins entrypoint and arguments: a command in the request replaces
// the image's entrypoint and also its arguments.
func arguments(config *runtimeapi.ContainerConfig, image *ocispec.ImageConfig) ([]string, error) {
	command, args := config.GetCommand(), config.GetArgs()
	if len(command) == 0 {
		command = image.Entrypoint
		if len(command) == 1 && command[0] == "" {
			command = nil // how image builders write "none"
		}
		if len(args) == 0 {
			args = image.Cmd
		}
	}
	all := slices.Concat(command, args)
	if len(all) == 0 {
		return nil, invalid("command", all, "is empty, and the image %q has neither entrypoint nor cmd", config.GetImage().GetImage())
	}
	return all, nil
}

// setImageCwd makes the image's directory absolute, as container runtimes
// want it; images built without a leading slash exist.
func setImageCwd(image *ocispec.ImageConfig, s *specs.Spec) {
	if image.WorkingDir != "" {
		s.Process.Cwd = path.Join("/", image.WorkingDir)
	}
}

// environment is, from the weakest to the strongest: the base's variables,
// PATH, TERM, HOSTNAME, those of default_env, the image's and the request's.
func environment(in *Input, base []string) []string {
	env := newEnviron(len(base) + len(in.Image.Env) + len(in.Config.GetEnvs()) + len(in.Runtime.DefaultEnv) + 3)
	env.set(base...)
	env.set(defaultPath)
	if in.Config.GetTty() {
		env.set("TERM=xterm")
	}
	hostname := in.Pod.GetHostname()
	if hostname == "" {
		hostname = in.Host.Hostname
	}
	env.set("HOSTNAME=" + hostname)
	env.set(in.Runtime.DefaultEnv...)
	env.set(in.Image.Env...)
	for _, e := range in.Config.GetEnvs() {
		env.set(e.GetKey() + "=" + string(e.GetValue()))
	}
	return env.list()
}

// environ is an environment under construction: a later value of a name takes
// the place of the earlier one.
type environ struct {
	entries []string
	at      map[string]int
}

func newEnviron(size int) *environ {
	return &environ{entries: make([]string, 0, size), at: make(map[string]int, size)}
}

// set adds NAME=value entries. An entry without "=" removes NAME.
func (e *environ) set(entries ...string) {
	for _, entry := range entries {
		name, _, isValue := strings.Cut(entry, "=")
		if !isValue {
			entry = ""
		}
		if i, ok := e.at[name]; ok {
			e.entries[i] = entry
		} else if isValue {
			e.at[name] = len(e.entries)
			e.entries = append(e.entries, entry)
		}
	}
}

func (e *environ) list() []string {
	return slices.DeleteFunc(e.entries, func(entry string) bool { return entry == "" })
}

func setUser(u users.Resolved, s *specs.Spec) {
	s.Process.User.UID, s.Process.User.GID = u.UID, u.GID
	s.Process.User.AdditionalGids = slices.Clone(u.AdditionalGIDs)
	if !slices.Contains(u.AdditionalGIDs, u.GID) {
		// A process whose groups lack its own one passes checks that deny
		// that group.
		s.Process.User.AdditionalGids = slices.Insert(s.Process.User.AdditionalGids, 0, u.GID)
	}
}
