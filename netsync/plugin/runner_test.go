package plugin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"

	"github.com/trivet-cri/trivet/netsync/plugin"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
)

func (p place) runner(t *testing.T) *plugin.Runner {
	return plugin.NewRunner([]string{p.bin}, t.TempDir(), p.exec)
}

func (p place) target(version string) plugin.Target {
	return plugin.Target{
		ContainerID: "c1", NetNS: "/n", Interface: "eth0", Args: [][2]string{{"K8S_POD_NAME", "web"}},
		Capabilities: map[string]json.RawMessage{"portMappings": json.RawMessage(`[{"hostPort":80}]`), "dns": json.RawMessage(`{}`)},
		Config: plugintest.Conflist(version, "net",
			plugintest.Settings{Type: "one", Dir: string(p.dir), IPs: []string{"10.0.0.9/24"}},
			plugintest.Settings{Type: "two", Dir: string(p.dir), IPs: []string{"10.0.0.9/24"}, Capabilities: map[string]bool{"portMappings": true}}),
		Attributes: []attribute.KeyValue{attribute.String("k8s.pod.name", "web")},
	}
}

func commands(calls []plugintest.Call) string {
	var all []string
	for _, c := range calls {
		all = append(all, c.Command+" "+c.Plugin)
	}
	return strings.Join(all, ", ")
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	everyExec(t, func(t *testing.T, p place) {
		r, target := p.runner(t), p.target("1.1.0")
		result, err := r.Add(t.Context(), target)
		if err != nil || result.IPs[0].Address.String() != "10.0.0.9/24" {
			t.Fatalf("ADD: %v, %v", result, err)
		}
		if known, err := r.Remembered("c1"); err != nil || len(known) != 1 || known[0].Network != "net" || known[0].Interface != "eth0" || string(known[0].Config) != string(target.Config) {
			t.Errorf("remembered %+v, %v", known, err)
		}
		if err := r.Check(t.Context(), target); err != nil {
			t.Error(err)
		}
		if err := r.Status(t.Context(), target.Config); err != nil {
			t.Error(err)
		}
		if err := r.Collect(t.Context(), target.Config, []types.GCAttachment{{ContainerID: "c1", IfName: "eth0"}}); err != nil {
			t.Error(err)
		}
		if err := r.Delete(t.Context(), target); err != nil {
			t.Error(err)
		}
		calls := p.dir.Calls(t, "")
		if got := commands(calls); got != "ADD one, ADD two, CHECK one, CHECK two, STATUS one, STATUS two, GC one, GC two, DEL two, DEL one" {
			t.Errorf("ran %s", got)
		}
		if c := string(calls[0].Config); strings.Contains(c, "runtimeConfig") {
			t.Errorf("a plugin without capabilities got %s", c)
		}
		if c := string(calls[1].Config); !strings.Contains(c, `"runtimeConfig":{"portMappings":[{"hostPort":80}]}`) || !strings.Contains(c, "prevResult") {
			t.Errorf("the second plugin got %s", c)
		}
		if calls[0].Args != "K8S_POD_NAME=web" {
			t.Errorf("args are %q", calls[0].Args)
		}
	})
}

func TestOldVersionsHaveFewerVerbs(t *testing.T) {
	t.Parallel()
	everyExec(t, func(t *testing.T, p place) {
		r, target := p.runner(t), p.target("0.3.1")
		if err := r.Check(t.Context(), target); err != nil {
			t.Error(err)
		}
		if err := r.Status(t.Context(), target.Config); err != nil {
			t.Error(err)
		}
		if err := r.Collect(t.Context(), target.Config, nil); err != nil {
			t.Error(err)
		}
		if calls := p.dir.Calls(t, ""); len(calls) != 0 {
			t.Errorf("ran %s", commands(calls))
		}
	})
}

func TestErrorsNameNetworkAndPlugin(t *testing.T) {
	t.Parallel()
	everyExec(t, func(t *testing.T, p place) {
		r, target := p.runner(t), p.target("1.1.0")
		missing := target
		missing.Config = plugintest.Conflist("1.1.0", "other", plugintest.Settings{Type: "three"})
		for verb, err := range map[string]error{
			"ADD":    func() error { _, err := r.Add(t.Context(), missing); return err }(),
			"DEL":    r.Delete(t.Context(), missing),
			"STATUS": r.Status(t.Context(), missing.Config),
			"CHECK":  r.Check(t.Context(), missing),
		} {
			if !errdefs.IsUnavailable(err) || !strings.HasPrefix(err.Error(), `network "other": plugin "three": not found`) {
				t.Errorf("%s: %v", verb, err)
			}
		}
		for _, verb := range []string{"ADD", "DEL", "CHECK", "STATUS", "GC"} {
			p.dir.Fail(t, verb, types.NewError(100, "because", ""))
		}
		for verb, err := range map[string]error{
			"ADD":    func() error { _, err := r.Add(t.Context(), target); return err }(),
			"DEL":    r.Delete(t.Context(), target),
			"CHECK":  r.Check(t.Context(), target),
			"STATUS": r.Status(t.Context(), target.Config),
			"GC":     r.Collect(t.Context(), target.Config, nil),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), `network "net": plugin "`) || !strings.Contains(err.Error(), verb+": because") {
				t.Errorf("%s: %v", verb, err)
			}
		}
		bad := target
		bad.Config = []byte("{")
		if err := r.Delete(t.Context(), bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a broken configuration: %v", err)
		}
	})
}

func TestDeleteOfNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   *types.Error
		netns string
		good  bool
	}{
		"unknown container":       {types.NewError(types.ErrUnknownContainer, "who?", ""), "/n", true},
		"link not found":          {types.NewError(999, "Link not found", ""), "/n", true},
		"no netns":                {types.NewError(999, `open "": no such file or directory`, ""), "", true},
		"a file, but the netns":   {types.NewError(999, "open x: no such file or directory", ""), "/n", false},
		"an error of another art": {types.NewError(999, "iptables: busy", ""), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := place{bin: "/bin", dir: plugintest.Dir(t.TempDir()), exec: &plugintest.Exec{}}
			target := p.target("1.0.0")
			target.NetNS = test.netns
			p.dir.Fail(t, "DEL", test.err)
			if err := p.runner(t).Delete(t.Context(), target); (err == nil) != test.good {
				t.Errorf("error is %v", err)
			}
			// One plugin that finds nothing must not spare the others.
			if ran := commands(p.dir.Calls(t, "")); test.good && ran != "DEL two, DEL one" {
				t.Errorf("ran %s", ran)
			}
		})
	}
}

// TestSpans has a span for the network and one for each plugin, and the
// plugin continues the trace.
func TestSpans(t *testing.T) {
	t.Parallel()
	p := place{bin: t.TempDir(), dir: plugintest.Dir(t.TempDir()), exec: plugin.NewExec(0)}
	plugintest.Install(t, p.bin, "one", "two")
	ctx, root := otel.Tracer("test").Start(t.Context(), "root")
	if _, err := p.runner(t).Add(ctx, p.target("1.0.0")); err != nil {
		t.Fatal(err)
	}
	root.End()
	names := map[string]string{} // span id → name
	parents := map[string]string{}
	for _, span := range spans.Ended() {
		if span.SpanContext().TraceID() != root.SpanContext().TraceID() {
			continue
		}
		names[span.SpanContext().SpanID().String()] = span.Name()
		parents[span.Name()] = span.Parent().SpanID().String()
		if span.Name() == "cni ADD one" {
			if parent := p.dir.Calls(t, "ADD")[0].TraceParent; !strings.Contains(parent, span.SpanContext().SpanID().String()) {
				t.Errorf("the plugin got TRACEPARENT %q", parent)
			}
			found := map[attribute.Key]string{}
			for _, a := range span.Attributes() {
				found[a.Key] = a.Value.AsString()
			}
			if found["k8s.pod.name"] != "web" || found["cni.network"] != "net" || found["cni.plugin"] != "one" {
				t.Errorf("attributes are %v", found)
			}
		}
	}
	for child, parent := range map[string]string{"cni ADD one": "cni network ADD", "cni ADD two": "cni network ADD", "cni network ADD": "root"} {
		if names[parents[child]] != parent {
			t.Errorf("%s is below %q", child, names[parents[child]])
		}
	}
}
