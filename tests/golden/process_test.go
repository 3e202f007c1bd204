//go:build e2e

package golden_test

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/trivet-cri/trivet/tests/harness"
)

func command(args ...string) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { c.Command = args }
}

func arguments(args ...string) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) { c.Args = args }
}

func variables(pairs ...string) harness.ContainerEdit {
	return func(c *runtimeapi.ContainerConfig) {
		for i := 0; i < len(pairs); i += 2 {
			c.Envs = append(c.Envs, &runtimeapi.KeyValue{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
	}
}

var processRequests = map[string]request{
	"command of image":           {},
	"command":                    {edit: command("/bin/true")},
	"arguments":                  {edit: arguments("/bin/echo", "a b", "")},
	"command and arguments":      {edit: edits(command("/bin/sh", "-c"), arguments("exit 0"))},
	"entrypoint of image":        {edit: harness.Image(declaring)},
	"entrypoint and arguments":   {edit: edits(harness.Image(declaring), arguments("echo mine"))},
	"command over entrypoint":    {edit: edits(harness.Image(declaring), command("/bin/true"))},
	"both over those of image":   {edit: edits(harness.Image(declaring), command("/bin/echo"), arguments("x"))},
	"entrypoint alone":           {edit: harness.Image(nonewprivs)},
	"stop signal of image":       {edit: harness.Image(harness.Nginx)},
	"stop signal":                {edit: func(c *runtimeapi.ContainerConfig) { c.StopSignal = runtimeapi.Signal_SIGNAL_SIGUSR1 }},
	"working directory":          {edit: func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/srv" }},
	"working directory of image": {edit: edits(harness.Image(declaring), func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/" })},
	"environment":                {edit: variables("A", "1", "B", "two words", "EMPTY", "", "EQUALS", "a=b=c")},
	"environment over image":     {edit: edits(harness.Image(declaring), variables("WHO", "request", "EMPTY", "full", "PATH", "/mine"))},
	"environment, hostname":      {edit: variables("HOSTNAME", "mine")},
	"environment twice":          {edit: variables("A", "1", "B", "2", "A", "3")},
	"terminal":                   {edit: func(c *runtimeapi.ContainerConfig) { c.Tty = true }},
	"terminal, own TERM":         {edit: edits(func(c *runtimeapi.ContainerConfig) { c.Tty = true }, variables("TERM", "dumb"))},
	"terminal and stdin":         {edit: func(c *runtimeapi.ContainerConfig) { c.Tty, c.Stdin, c.StdinOnce = true, true, true }},
	"stdin":                      {edit: func(c *runtimeapi.ContainerConfig) { c.Stdin = true }},
	"user-specified image": {edit: func(c *runtimeapi.ContainerConfig) {
		c.Image.UserSpecifiedImage = "busybox-as-the-user-wrote-it"
	}},
	"no log path": {edit: func(c *runtimeapi.ContainerConfig) { c.LogPath = "" }},
	"labels and annotations": {edit: func(c *runtimeapi.ContainerConfig) {
		c.Labels, c.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	}},
	"no linux part": {edit: func(c *runtimeapi.ContainerConfig) { c.Linux = nil }},
	"windows is ignored": {edit: func(c *runtimeapi.ContainerConfig) {
		c.Windows = &runtimeapi.WindowsContainerConfig{
			Resources:       &runtimeapi.WindowsContainerResources{CpuMaximum: 5000, MemoryLimitInBytes: 1 << 20},
			SecurityContext: &runtimeapi.WindowsContainerSecurityContext{RunAsUsername: "ContainerUser", HostProcess: true},
		}
	}},
}
