package cri_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/runtime/container/containertest"
	"github.com/trivet-cri/trivet/runtime/pod/podtest"
)

func (s *server) status(t *testing.T, id string) *runtimeapi.ContainerStatus {
	t.Helper()
	return must[*runtimeapi.ContainerStatusResponse](t)(
		s.containers.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id})).GetStatus()
}

func TestContainerStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		pod := s.pod(t, podtest.Sandbox("web"))
		cfg := containertest.Config("server")
		cfg.Annotations = map[string]string{"note": "x"}
		cfg.StopSignal = runtimeapi.Signal_SIGNAL_SIGUSR1
		cfg.Mounts = []*runtimeapi.Mount{{HostPath: t.TempDir(), ContainerPath: "/x", Readonly: true}}
		cfg.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuShares: 100}
		cfg.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
		cfg.Linux.SecurityContext.RunAsGroup = &runtimeapi.Int64Value{Value: 1001}
		cfg.Linux.SecurityContext.SupplementalGroups = []int64{1002}
		begun := time.Now().UnixNano()
		id := must[*runtimeapi.CreateContainerResponse](t)(
			s.containers.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: pod, Config: cfg})).GetContainerId()
		status := s.status(t, id[:15])
		want := &runtimeapi.ContainerStatus{
			Id: id, Metadata: cfg.GetMetadata(), State: runtimeapi.ContainerState_CONTAINER_CREATED, CreatedAt: begun,
			Image: cfg.GetImage(), ImageRef: status.GetImageRef(), ImageId: status.GetImageId(),
			Labels: cfg.GetLabels(), Annotations: cfg.GetAnnotations(), Mounts: cfg.GetMounts(),
			LogPath: "/var/log/pods/web/server/0.log", StopSignal: cfg.GetStopSignal(),
			Resources: &runtimeapi.ContainerResources{Linux: cfg.GetLinux().GetResources()},
			User: &runtimeapi.ContainerUser{Linux: &runtimeapi.LinuxContainerUser{
				Uid: 1000, Gid: 1001, SupplementalGroups: status.GetUser().GetLinux().GetSupplementalGroups(),
			}},
		}
		if !proto.Equal(status, want) || !strings.HasPrefix(status.GetImageId(), "sha256:") || status.GetImageRef() == "" ||
			!slices.Contains(status.GetUser().GetLinux().GetSupplementalGroups(), 1002) {
			t.Errorf("status\n%v\nwant\n%v", status, want)
		}
		time.Sleep(time.Second)
		must[*runtimeapi.StartContainerResponse](t)(s.containers.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id}))
		want.State, want.StartedAt = runtimeapi.ContainerState_CONTAINER_RUNNING, begun+int64(time.Second)
		if status = s.status(t, id); !proto.Equal(status, want) {
			t.Errorf("running\n%v\nwant\n%v", status, want)
		}
		time.Sleep(time.Second)
		s.Tasks.Exit(id, 9)
		synctest.Wait()
		want.State, want.FinishedAt, want.ExitCode, want.Reason = runtimeapi.ContainerState_CONTAINER_EXITED, begun+2*int64(time.Second), 9, "Error"
		for range 2 {
			if status = s.status(t, id); !proto.Equal(status, want) {
				t.Errorf("exited\n%v\nwant\n%v", status, want)
			}
			s.restart(t)
		}
	})
}

func TestVerboseContainerStatus(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.start(t, s.pod(t, podtest.Sandbox("web")), "server")
	ask := func() (*runtimeapi.ContainerStatusResponse, error) {
		return s.containers.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id, Verbose: true})
	}
	response := must[*runtimeapi.ContainerStatusResponse](t)(ask())
	var info struct {
		SandboxID   string         `json:"sandboxID"`
		PID         int            `json:"pid"`
		RuntimeType string         `json:"runtimeType"`
		RuntimeSpec map[string]any `json:"runtimeSpec"`
	}
	if err := json.Unmarshal([]byte(response.GetInfo()["info"]), &info); err != nil {
		t.Fatal(err)
	}
	if info.SandboxID == "" || info.PID == 0 || info.RuntimeType != "io.containerd.runc.v2" || info.RuntimeSpec["ociVersion"] == "" {
		t.Errorf("info %+v", info)
	}
	s.Fail("Containers.Spec", podtest.Before, 1)
	if _, err := ask(); err == nil {
		t.Error("a failure of containerd is not told")
	}
	s.status(t, id) // which asks nobody
}

func TestListContainers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		pods := []string{s.pod(t, podtest.Sandbox("web")), s.pod(t, podtest.Sandbox("db"))}
		ids := make(map[string]string)
		for i, name := range []string{"first", "second", "third", "fourth"} {
			ids[name] = s.start(t, pods[i/3], name)
			time.Sleep(time.Second)
		}
		ids["fifth"] = s.create(t, pods[1], "fifth")
		s.Tasks.Exit(ids["second"], 0)
		synctest.Wait()
		state := func(one runtimeapi.ContainerState) *runtimeapi.ContainerStateValue {
			return &runtimeapi.ContainerStateValue{State: one}
		}
		type filter = runtimeapi.ContainerFilter
		for name, try := range map[string]struct {
			filter *filter
			want   []string
		}{
			"all":          {nil, []string{"fifth", "fourth", "third", "second", "first"}},
			"created":      {&filter{State: state(runtimeapi.ContainerState_CONTAINER_CREATED)}, []string{"fifth"}},
			"running":      {&filter{State: state(runtimeapi.ContainerState_CONTAINER_RUNNING)}, []string{"fourth", "third", "first"}},
			"exited":       {&filter{State: state(runtimeapi.ContainerState_CONTAINER_EXITED)}, []string{"second"}},
			"pod":          {&filter{PodSandboxId: pods[1]}, []string{"fifth", "fourth"}},
			"start of pod": {&filter{PodSandboxId: pods[1][:20]}, []string{"fifth", "fourth"}},
			"id":           {&filter{Id: ids["third"][:20]}, []string{"third"}},
			"id elsewhere": {&filter{Id: ids["third"], PodSandboxId: pods[1]}, nil},
			"label":        {&filter{LabelSelector: map[string]string{"tier": "first"}}, []string{"first"}},
			"other label":  {&filter{LabelSelector: map[string]string{"tier": "first", "x": "y"}}, nil},
		} {
			response := must[*runtimeapi.ListContainersResponse](t)(s.containers.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{Filter: try.filter}))
			var got []string
			for _, item := range response.GetContainers() {
				got = append(got, item.GetMetadata().GetName())
				if item.GetId() != ids[item.GetMetadata().GetName()] || item.GetPodSandboxId() == "" || item.GetImageRef() == "" || item.GetImage().GetImage() != containertest.Image {
					t.Errorf("%s: %v", name, item)
				}
			}
			if !slices.Equal(got, try.want) {
				t.Errorf("%s: %v, want %v", name, got, try.want)
			}
		}
	})
}

func TestContainerIsNotThere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for id, kind := range map[string]func(error) bool{"0badcafe": errdefs.IsNotFound, "x/../y": errdefs.IsNotFound, "": errdefs.IsInvalidArgument} {
		_, stop := s.containers.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id})
		_, remove := s.containers.RemoveContainer(t.Context(), &runtimeapi.RemoveContainerRequest{ContainerId: id})
		if id != "" && (stop != nil || remove != nil) || id == "" && (!kind(stop) || !kind(remove)) {
			t.Errorf("%q: stop %v, remove %v", id, stop, remove)
		}
		_, start := s.containers.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id})
		_, status := s.containers.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id})
		if !kind(start) || !kind(status) {
			t.Errorf("%q: start %v, status %v", id, start, status)
		}
		for name, err := range s.streams(t, id, 0) {
			if !kind(err) {
				t.Errorf("%q: %s %v", id, name, err)
			}
		}
	}
	pod := s.pod(t, podtest.Sandbox("web"))
	if _, err := s.containers.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: pod}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("creation of nothing: %v", err)
	}
}

// streams are the errors of all calls about a container's bytes.
func (s *server) streams(t *testing.T, id string, timeout int64) map[string]error {
	t.Helper()
	_, reopen := s.streaming.ReopenContainerLog(t.Context(), &runtimeapi.ReopenContainerLogRequest{ContainerId: id})
	_, execSync := s.streaming.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"ls"}, Timeout: timeout})
	_, exec := s.streaming.Exec(t.Context(), &runtimeapi.ExecRequest{ContainerId: id, Cmd: []string{"ls"}})
	_, attach := s.streaming.Attach(t.Context(), &runtimeapi.AttachRequest{ContainerId: id})
	return map[string]error{"reopen": reopen, "exec-sync": execSync, "exec": exec, "attach": attach}
}

// TestOnlyRunning: bytes flow only in what runs.
func TestOnlyRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		pod := s.pod(t, podtest.Sandbox("web"))
		created, exited := s.create(t, pod, "created"), s.start(t, pod, "exited")
		s.Tasks.Exit(exited, 0)
		synctest.Wait()
		for _, id := range []string{created, exited} {
			for name, err := range s.streams(t, id, 0) {
				if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), id) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		must[*runtimeapi.StopPodSandboxResponse](t)(s.sandboxes.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: pod}))
		if _, err := s.streaming.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: pod}); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("port-forward: %v", err)
		}
		if s.streamer.last != nil {
			t.Errorf("the streamer is asked: %v", s.streamer.last)
		}
	})
}

func TestStreaming(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	pod := s.pod(t, podtest.Sandbox("web"))
	id := s.start(t, pod, "server")
	result := must[*runtimeapi.ExecSyncResponse](t)(s.streaming.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id[:10], Cmd: []string{"ls", "/"}, Timeout: 5}))
	if string(result.GetStdout()) != "out" || string(result.GetStderr()) != "err" || result.GetExitCode() != 3 {
		t.Errorf("result %v", result)
	}
	if r := s.streamer.last.(*streamerv1.ExecSyncRequest); r.GetContainer().GetId() != id || !slices.Equal(r.GetCmd(), []string{"ls", "/"}) || r.GetTimeout().AsDuration() != 5*time.Second {
		t.Errorf("asked for %v", r)
	}
	must[*runtimeapi.ExecSyncResponse](t)(s.streaming.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"ls"}, Timeout: math.MaxInt64}))
	if r := s.streamer.last.(*streamerv1.ExecSyncRequest); r.GetTimeout().AsDuration() < 24*time.Hour {
		t.Errorf("the largest timeout is %s", r.GetTimeout().AsDuration())
	}
	if err := s.streams(t, id, -1)["exec-sync"]; !errdefs.IsInvalidArgument(err) {
		t.Errorf("a negative timeout: %v", err)
	}
	exec := must[*runtimeapi.ExecResponse](t)(s.streaming.Exec(t.Context(), &runtimeapi.ExecRequest{ContainerId: id, Cmd: []string{"sh"}, Tty: true, Stdin: true, Stdout: true}))
	if r := s.streamer.last.(*streamerv1.PrepareExecRequest); exec.GetUrl() != "http://exec" || !r.GetTty() || !r.GetStdin() || !r.GetStdout() || r.GetStderr() || r.GetContainer().GetPodName() != "web" {
		t.Errorf("%v for %v", exec, r)
	}
	attach := must[*runtimeapi.AttachResponse](t)(s.streaming.Attach(t.Context(), &runtimeapi.AttachRequest{ContainerId: id, Stdout: true, Stderr: true}))
	if r := s.streamer.last.(*streamerv1.PrepareAttachRequest); attach.GetUrl() != "http://attach" || r.GetTty() || r.GetStdin() || !r.GetStdout() || !r.GetStderr() {
		t.Errorf("%v for %v", attach, r)
	}
	forward := must[*runtimeapi.PortForwardResponse](t)(s.streaming.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: pod[:9], Port: []int32{80}}))
	if r := s.streamer.last.(*streamerv1.PreparePortForwardRequest); forward.GetUrl() != "http://forward" || r.GetPodId() != pod || r.GetNetnsPath() == "" || !slices.Equal(r.GetPorts(), []int32{80}) || r.GetPodUid() != "uid-web" {
		t.Errorf("%v for %v", forward, r)
	}
	must[*runtimeapi.ReopenContainerLogResponse](t)(s.streaming.ReopenContainerLog(t.Context(), &runtimeapi.ReopenContainerLogRequest{ContainerId: id}))
	if r := s.streamer.last.(*streamerv1.ReopenLogRequest); r.GetContainerId() != id {
		t.Errorf("reopened %v", r)
	}
	s.streamer.err = errdefs.ErrUnavailable
	_, err := s.streaming.PortForward(t.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: pod})
	errs := s.streams(t, id, 0)
	errs["port-forward"] = err
	for name, err := range errs {
		if !errdefs.IsUnavailable(err) {
			t.Errorf("%s without the streamer: %v", name, err)
		}
	}
}

func TestStopContainer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		pod := s.pod(t, podtest.Sandbox("web"))
		stop := func(id string, timeout int64) error {
			_, err := s.containers.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: timeout})
			return err
		}
		a, b := s.start(t, pod, "a"), s.start(t, pod, "b")
		if err := stop(a, -1); !errdefs.IsInvalidArgument(err) {
			t.Errorf("a negative timeout: %v", err)
		}
		// The largest grace is a grace, and not none.
		if err := stop(a, math.MaxInt64); err != nil || s.status(t, a).GetExitCode() != 128+int32(unix.SIGTERM) {
			t.Errorf("for ever: %v, %v", err, s.status(t, a))
		}
		s.Tasks.Ignore(unix.SIGTERM)
		begun := time.Now()
		if err := stop(b, 7); err != nil || time.Since(begun) != 7*time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		if got := s.status(t, b); got.GetExitCode() != 137 || got.GetReason() != "Error" {
			t.Errorf("status %v", got)
		}
	})
}

// TestRemoveContainer removes also what is quarantined.
func TestRemoveContainer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		pod := s.pod(t, podtest.Sandbox("web"))
		good, bad := s.start(t, pod, "good"), s.start(t, pod, "bad")
		one, _ := s.Containers.Get(bad)
		one.Err = podtest.ErrInjected
		s.Containers.Put(one)
		s.restart(t)
		for _, id := range []string{good, bad} {
			s.Fail("Snapshots.Remove", podtest.Before, 1)
			for i, fails := range []bool{true, false, false} {
				_, err := s.containers.RemoveContainer(t.Context(), &runtimeapi.RemoveContainerRequest{ContainerId: id})
				if (err != nil) != fails {
					t.Errorf("attempt %d: %v", i, err)
				}
			}
		}
		synctest.Wait()
		if left := s.OfContainers(); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
}
