package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	main "github.com/trivet-cri/trivet/netsync"

	"github.com/trivet-cri/trivet/internal/config"
	"github.com/trivet-cri/trivet/internal/ident"
	"github.com/trivet-cri/trivet/internal/rpc"
	"github.com/trivet-cri/trivet/netsync/plugin/plugintest"
	netsyncv1 "github.com/trivet-cri/trivet/proto/netsync/v1"
)

// asMember makes this program be trivet-netsync.
const asMember = "TRIVET_NETSYNC_TEST_MEMBER"

func TestMain(m *testing.M) {
	plugintest.Main()
	if os.Getenv(asMember) != "" {
		main.Main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// member is a trivet-netsync process that tests start and kill.
type member struct {
	t      *testing.T
	cfg    *config.Config
	dir    plugintest.Dir
	path   string
	cmd    *exec.Cmd
	log    *os.File
	client netsyncv1.NetSyncClient
}

// newMember has one network with two plugins, "first" and "second".
func newMember(t *testing.T) *member {
	t.Helper()
	dir := t.TempDir()
	m := &member{t: t, cfg: config.Default(), dir: plugintest.Dir(filepath.Join(dir, "plugin")), path: filepath.Join(dir, "trivet.toml")}
	m.cfg.Root, m.cfg.State = filepath.Join(dir, "root"), filepath.Join(dir, "state")
	m.cfg.CNI.ConfDir = filepath.Join(dir, "net.d")
	m.cfg.CNI.BinDirs = []string{filepath.Join(dir, "bin")}
	for _, d := range []string{m.cfg.CNI.ConfDir, m.cfg.CNI.BinDirs[0], string(m.dir)} {
		ok(t, os.MkdirAll(d, 0o755))
	}
	plugintest.Install(t, m.cfg.CNI.BinDirs[0], "first", "second")
	ok(t, os.WriteFile(filepath.Join(m.cfg.CNI.ConfDir, "10-net.conflist"), plugintest.Conflist("1.1.0", "net",
		plugintest.Settings{Type: "first", Dir: string(m.dir), IPs: []string{"10.1.2.3/24"}},
		plugintest.Settings{Type: "second", Dir: string(m.dir), IPs: []string{"10.1.2.3/24"}},
	), 0o600))
	return m
}

func (m *member) start() {
	m.t.Helper()
	file, err := os.Create(m.path)
	ok(m.t, err)
	ok(m.t, m.cfg.Write(file))
	ok(m.t, file.Close())
	m.log, err = os.OpenFile(m.path+".log", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	ok(m.t, err)
	m.cmd = exec.Command(os.Args[0], "-c", m.path)
	m.cmd.Env = append(os.Environ(), asMember+"=1")
	m.cmd.Stderr = m.log
	ok(m.t, m.cmd.Start())
	m.t.Cleanup(m.kill)
	conn, err := rpc.Dial(m.cfg.NetSyncSocket())
	ok(m.t, err)
	m.t.Cleanup(func() { _ = conn.Close() })
	m.client = netsyncv1.NewNetSyncClient(conn)
}

// kill is kill -9.
func (m *member) kill() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
	if m.t.Failed() {
		text, _ := os.ReadFile(m.path + ".log")
		m.t.Logf("%s", text)
	}
	_ = m.log.Close()
}

// stop is SIGTERM; it returns when the process has ended.
func (m *member) stop() {
	m.t.Helper()
	ok(m.t, m.cmd.Process.Signal(unix.SIGTERM))
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("netsync ended with %v", err)
	}
	m.cmd = nil
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// newNetNS pins a new network namespace until the test ends.
func newNetNS(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netns")
	ok(t, os.WriteFile(path, nil, 0o600))
	done := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, in the
		// namespace that it has made.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}()
	ok(t, <-done)
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

func newPod(t *testing.T) *netsyncv1.AttachRequest {
	t.Helper()
	return &netsyncv1.AttachRequest{
		Pod:       &netsyncv1.Pod{Id: ident.New(), Namespace: "default", Name: "web", Uid: "u-1"},
		NetnsPath: newNetNS(t),
	}
}

// await reads the status stream until ok.
func (m *member) await(what string, good func(*netsyncv1.WatchStatusResponse) bool) *netsyncv1.WatchStatusResponse {
	m.t.Helper()
	stream, err := m.client.WatchStatus(limit(m.t), &netsyncv1.WatchStatusRequest{})
	ok(m.t, err)
	for {
		state, err := stream.Recv()
		if err != nil {
			m.t.Fatalf("wait for %s: %v", what, err)
		}
		if good(state) {
			return state
		}
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	m := newMember(t)
	m.start()
	state := m.await("ready", (*netsyncv1.WatchStatusResponse).GetReady)
	if n := state.GetNetworks(); len(n) != 1 || n[0].GetName() != "net" || strings.Join(n[0].GetPlugins(), " ") != "first second" {
		t.Errorf("networks are %v", n)
	}
	pod := newPod(t)
	resp, err := m.client.Attach(limit(t), pod)
	ok(t, err)
	if strings.Join(resp.GetIps(), " ") != "10.1.2.3" {
		t.Errorf("ips are %v", resp.GetIps())
	}
	m.await("the attachment", func(s *netsyncv1.WatchStatusResponse) bool { return s.GetAttachments() == 1 })
	_, err = m.client.Check(limit(t), &netsyncv1.CheckRequest{PodId: pod.GetPod().GetId()})
	ok(t, err)
	// The record outlives the process, and so does its result.
	m.stop()
	m.start()
	again, err := m.client.Attach(limit(t), pod)
	ok(t, err)
	if again.GetResultJson() != resp.GetResultJson() || len(m.dir.Calls(t, "ADD")) != 2 {
		t.Errorf("after a restart: %v, ADD ran %d times", again, len(m.dir.Calls(t, "ADD")))
	}
	_, err = m.client.Detach(limit(t), &netsyncv1.DetachRequest{Pod: pod.GetPod()})
	ok(t, err)
	if held := m.dir.Held(t); len(held) > 0 {
		t.Errorf("left behind: %v", held)
	}
	m.stop()
}
