package podcidr_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/trivet-cri/trivet/netsync/ledger"
	"github.com/trivet-cri/trivet/netsync/network"
	"github.com/trivet-cri/trivet/netsync/podcidr"
)

// containerd's own example of a template.
const template = `{
  "name": "containerd-net", "cniVersion": "1.0.0",
  "plugins": [
    {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local",
        "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
        "routes": [{{range $i, $route := .Routes}}{{if $i}}, {{end}}{"dst": "{{$route}}"}{{end}}]}},
    {"type": "x", "subnet": "{{.PodCIDR}}"}
  ]
}`

func TestRender(t *testing.T) {
	t.Parallel()
	out, err := podcidr.Render(template, []string{"10.0.0.0/24", "fd00::/64"})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]`, `"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]`, `"subnet": "10.0.0.0/24"}`} {
		if !strings.Contains(string(out), part) {
			t.Errorf("%s is not in %s", part, out)
		}
	}
	for name, text := range map[string]string{
		"syntax":       "{{",
		"unknown name": strings.ReplaceAll(template, ".PodCIDR}}", ".NodeCIDR}}"),
		"no JSON":      "subnet: {{.PodCIDR}}",
		"no network":   "{}",
		"endless":      `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`,
	} {
		if _, err := podcidr.Render(text, []string{"10.0.0.0/24"}); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"": true, "10.0.0.0/24": true, "10.0.0.0/24,fd00::/64": true, "fd00::/64,10.0.0.0/24": true,
		"10.0.0.0": false, "10.0.0.0/33": false, "x": false, "10.0.0.0/24,10.1.0.0/24": false,
		"10.0.0.0/24,fd00::/64,10.1.0.0/24": false, "fe80::1%eth0/64": false, `10.0.0.0/24"`: false,
	} {
		var cidrs []string
		if text != "" {
			cidrs = strings.Split(text, ",")
		}
		err := podcidr.Validate(cidrs)
		if (err == nil) != good || err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// bench is a writer with a template, a directory and a ledger of its own.
type bench struct {
	t             *testing.T
	template, dir string
	store         *ledger.Ledger
}

func newBench(t *testing.T) *bench {
	t.Helper()
	store, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	b := &bench{t: t, template: filepath.Join(t.TempDir(), "template"), dir: filepath.Join(t.TempDir(), "net.d"), store: store}
	b.put(b.template, template)
	return b
}

func (b *bench) put(path, text string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// writer is one as after a start: it has read the directory as it is now.
func (b *bench) writer() *podcidr.Writer {
	log := slog.New(slog.DiscardHandler)
	configs := network.NewConfigs([]network.Source{{Dir: b.dir, Limit: 1}}, time.Hour, log)
	return podcidr.NewWriter(b.template, b.dir, b.store, configs, log)
}

func (b *bench) file() string {
	text, err := os.ReadFile(filepath.Join(b.dir, podcidr.File))
	if err != nil {
		return ""
	}
	return string(text)
}

func (b *bench) set(w *podcidr.Writer, cidrs ...string) {
	b.t.Helper()
	if err := w.Set(b.t.Context(), cidrs); err != nil {
		b.t.Fatal(err)
	}
}

func TestSetWrites(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.writer()
	b.set(w, "10.0.0.0/24")
	if !strings.Contains(b.file(), "10.0.0.0/24") {
		t.Fatalf("file is %q", b.file())
	}
	// Its own file is written again for other CIDRs, also once it is loaded.
	b.set(b.writer(), "10.1.0.0/24")
	if !strings.Contains(b.file(), "10.1.0.0/24") {
		t.Errorf("file is %q", b.file())
	}
	// None clears what is on record; the file stays.
	b.set(w)
	if len(b.store.PodCIDRs()) != 0 || b.file() == "" {
		t.Errorf("CIDRs %v, file %q", b.store.PodCIDRs(), b.file())
	}
	if err := w.Set(t.Context(), []string{"x"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("not a CIDR: %v", err)
	}
	if left, _ := os.ReadDir(b.dir); len(left) != 1 {
		t.Errorf("directory has %v", left)
	}
}

func TestRestoreAfterRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.set(b.writer(), "10.0.0.0/24")
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	if err := b.writer().Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.file(), "10.0.0.0/24") {
		t.Errorf("file is %q", b.file())
	}
}

func TestOtherConfigurationIsRespected(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := filepath.Join(b.dir, "50-other.conf")
	b.put(other, `{"name":"other","type":"ptp","cniVersion":"1.0.0"}`)
	b.set(b.writer(), "10.0.0.0/24")
	if b.file() != "" {
		t.Errorf("overruled by %s", b.file())
	}
	b.put(other, "{")
	b.set(b.writer(), "10.0.0.0/24")
	if b.file() == "" {
		t.Error("not written although the other is broken")
	}
}

func TestBadTemplateIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, text := range []string{"{{.Nothing}}", "{}"} {
		b.put(b.template, text)
		err := b.writer().Set(t.Context(), []string{"10.0.0.0/24"})
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), b.template) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.Remove(b.template); err != nil {
		t.Fatal(err)
	}
	err := b.writer().Set(t.Context(), []string{"10.0.0.0/24"})
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), b.template) {
		t.Errorf("missing: %v", err)
	}
	if b.file() != "" || len(b.store.PodCIDRs()) != 1 {
		t.Errorf("file %q, CIDRs %v", b.file(), b.store.PodCIDRs())
	}
}

func TestConcurrentSetsAgree(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.writer()
	var group sync.WaitGroup
	for _, cidr := range []string{"10.0.0.0/24", "10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24"} {
		group.Go(func() { b.set(w, cidr) })
	}
	group.Wait()
	if cidrs := b.store.PodCIDRs(); len(cidrs) != 1 || !strings.Contains(b.file(), cidrs[0]) {
		t.Errorf("CIDRs %v, file %s", cidrs, b.file())
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = w.Set(gone, []string{"10.9.0.0/24"}) // whichever way, nothing hangs
}

func FuzzRender(f *testing.F) {
	f.Add(template, "10.0.0.0/24", "fd00::/64")
	f.Add("{{range .Routes}}{{.}}{{end}}", "10.0.0.0/8", "")
	f.Add(`{"name":"{{.PodCIDR}}"}`, "::/0", "0.0.0.0/0")
	f.Fuzz(func(t *testing.T, text, first, second string) {
		cidrs := []string{first}
		if second != "" {
			cidrs = append(cidrs, second)
		}
		if err := podcidr.Validate(cidrs); err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("kind of %v", err)
			}
			return
		}
		out, err := podcidr.Render(text, cidrs)
		if err != nil {
			if !errdefs.IsFailedPrecondition(err) {
				t.Errorf("kind of %v", err)
			}
			return
		}
		if _, err := network.Parse(out); err != nil {
			t.Errorf("rendered %q: %v", out, err)
		}
	})
}
