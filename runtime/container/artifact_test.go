package container_test

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func TestSeccompProfileOfArtifact(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	text := []byte(`{"defaultAction": "SCMP_ACT_LOG"}`)
	n.AddArtifact("registry.test/profiles:1", text)
	sandbox := podtest.Sandbox("profiled")
	sandbox.Annotations = map[string]string{
		"seccomp-profile.crio.io/server": "registry.test/profiles:1", "seccomp-profile.crio.io/other": "registry.test/none",
	}
	p, err := n.Pods.Run(t.Context(), sandbox, "annotated")
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Process.Containers.Create(t.Context(), p, containertest.Config("server"))
	if err != nil {
		t.Fatal(err)
	}
	record, _ := n.World.Containers.Get(c.ID)
	if got := record.Spec.Linux.Seccomp; got == nil || got.DefaultAction != specs.ActLog {
		t.Errorf("the profile is %+v", got)
	}
	if want := "registry.test/profiles@" + digest.FromBytes(text).String(); record.Record.GetSeccompArtifact() != want {
		t.Errorf("the record has %q, want %q", record.Record.GetSeccompArtifact(), want)
	}
	_, err = n.Process.Containers.Create(t.Context(), p, containertest.Config("other"))
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "seccomp-profile.crio.io/other") {
		t.Errorf("an artifact that is not there: %v", err)
	}
}
