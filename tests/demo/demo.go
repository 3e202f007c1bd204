package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trivet-cri/trivet/tests/harness"
)

// demo is the state that the steps share.
type demo struct {
	*show
	dir    string
	member string // whom to kill

	binaries string
	lab      *harness.Lab
	group    *harness.Group
	pod      *harness.Pod
	web      *harness.Container
	clock    *harness.Counter
	trace    string // id of the trace of the pod's start
}

// setUp builds and starts everything.
func (d *demo) setUp(ctx context.Context) error {
	if err := d.step("Build or install the parts: containerd, runc, CNI plugins, crictl, Jaeger", func() error {
		return harness.BuildLab(ctx, &indented{})
	}); err != nil {
		return err
	}
	if err := d.step("Build Trivet", func() (err error) {
		d.binaries, err = harness.Build(ctx, filepath.Join(d.dir, "bin"))
		return err
	}); err != nil {
		return err
	}
	if err := d.step("Start containerd, a local registry and Jaeger", func() (err error) {
		d.lab, err = harness.StartLab(ctx, harness.LabOptions{Dir: filepath.Join(d.dir, "lab"), Jaeger: true})
		return err
	}); err != nil {
		return err
	}
	return d.step("Start Trivet: trivet run", func() (err error) {
		d.group, err = harness.StartGroup(ctx, d.lab, harness.GroupOptions{Dir: filepath.Join(d.dir, "trivet"), BinDir: d.binaries})
		if err != nil {
			return err
		}
		return d.status(ctx)
	})
}

// perform shows a pod's life.
func (d *demo) perform(ctx context.Context) error {
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Pull images through CRI", d.pull},
		{"Run a pod with two containers on a bridge network", d.runPod},
		{"Read its log", d.log},
		{"Run commands in it on a terminal: crictl exec -it", d.terminal},
		{"Forward a port and send a request", d.forward},
		{fmt.Sprintf("Kill trivet-%s with SIGKILL while it all runs", d.member), d.kill},
		{"Show the trace of the pod's start", d.showTrace},
	} {
		if err := d.step(step.title, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) pull(ctx context.Context) error {
	for _, image := range []string{harness.Busybox, harness.Nginx} {
		begun := time.Now()
		if _, err := d.group.Pull(ctx, image); err != nil {
			return err
		}
		d.say("%s in %d ms", image, time.Since(begun).Milliseconds())
	}
	return nil
}

// runPod starts everything of the pod under one trace, as a kubelet does.
func (d *demo) runPod(ctx context.Context) (err error) {
	ctx, trace, err := d.group.Lab.StartTrace(ctx, "start pod demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trace.End()) }()
	d.trace = trace.ID
	begun := time.Now()
	if d.pod, err = d.group.RunPod(ctx, "demo"); err != nil {
		return err
	}
	if d.web, err = d.pod.Run(ctx, "web", harness.Image(harness.Nginx), harness.OwnCommand); err != nil {
		return err
	}
	if d.clock, err = d.pod.RunCounter(ctx, "clock", 1, 100*time.Millisecond); err != nil {
		return err
	}
	ip, err := d.pod.IP(ctx)
	if err != nil {
		return err
	}
	d.say("pod %.13s with address %s runs after %d ms", d.pod.ID, ip, time.Since(begun).Milliseconds())
	return d.crictl(ctx, "ps")
}

func (d *demo) log(ctx context.Context) error {
	if err := d.clock.AwaitLog(ctx, "5"); err != nil {
		return err
	}
	d.say("crictl logs --timestamps --tail 4 clock")
	return d.crictl(ctx, "logs", "--timestamps", "--tail", "4", d.clock.ID)
}

// status shows what the user's command shows.
func (d *demo) status(ctx context.Context) error {
	out, err := d.group.TrivetCommand(ctx, "status").CombinedOutput()
	if err != nil {
		return fmt.Errorf("trivet status: %w: %s", err, out)
	}
	d.say("%s", out)
	return nil
}

func (d *demo) crictl(ctx context.Context, args ...string) error {
	out, err := d.group.Crictl(ctx, args...)
	if err != nil {
		return err
	}
	d.say("%s", out)
	return nil
}

// printPlayground prints what to do with a demonstration that is kept.
func (d *demo) printPlayground() {
	crictl := strings.Join(d.group.CrictlArgs(), " ")
	fmt.Printf(`
It is all running. In another terminal, for example:

  alias crictl='%s'
  crictl pods
  crictl ps
  crictl logs -f %.13s
  crictl exec -it %.13s sh
  crictl port-forward %.13s 8080:80
  %s status -c %s
  pkill -9 -f '^%s/trivet-runtime'

The log is %s,
Jaeger's query API is at %s.
Ctrl-C stops and removes everything.
`, crictl, d.clock.ID, d.clock.ID, d.pod.ID, d.group.Trivet(), d.group.ConfigPath, d.binaries, d.group.Log(), d.lab.JaegerQuery)
}

// cleanUp ends what was started, newest first, and looks whether anything is left.
func (d *demo) cleanUp(good bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return d.step("Clean up", func() error {
		var failed []error
		if d.group != nil {
			failed = append(failed, d.group.Purge(ctx), d.group.Stop())
		}
		if d.pod != nil {
			failed = append(failed, d.pod.RemoveDirs())
		}
		if d.lab != nil {
			failed = append(failed, d.lab.Stop())
		}
		err := errors.Join(failed...)
		if err != nil || !good {
			d.say("the logs are in %s", d.dir)
			return err
		}
		d.say("nothing is left; the whole took %.0f s", time.Since(d.begun).Seconds())
		return os.RemoveAll(d.dir)
	})
}
