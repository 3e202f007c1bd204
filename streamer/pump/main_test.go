package pump_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/internal/ident"
	streamerv1 "github.com/trivet-cri/trivet/proto/streamer/v1"
	"github.com/trivet-cri/trivet/streamer/pump"
)

// The test binary is also the process that gets killed, and the container's
// shim in benchmarks: a role in the environment says so.
const roleKey = "PUMP_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleKey) {
	case "pump":
		os.Exit(servePump())
	case "shim":
		os.Exit(serveShim())
	}
	goleak.VerifyTestMain(m)
}

// servePump runs the pumps of a directory until it is killed, and reopens the
// log of PUMP_TEST_ID at each SIGHUP. With
// PUMP_TEST_CRASH=step:n it kills itself at the n-th time of that step.
func servePump() int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	step, count, _ := strings.Cut(os.Getenv("PUMP_TEST_CRASH"), ":")
	left, _ := strconv.Atoi(count)
	probe := func(at string) {
		if at != step {
			return
		}
		if left--; left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	config := pump.Config{PipeSize: 1 << 20, MaxFiles: 1 << 20}
	config.MaxSize, _ = strconv.ParseInt(os.Getenv("PUMP_TEST_MAX_SIZE"), 10, 64)
	p, err := pump.Tuned(os.Getenv("PUMP_TEST_DIR"), config, log, 0, 0, probe)
	if err != nil {
		log.Error("new", "error", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	rotate := make(chan os.Signal, 1)
	signal.Notify(rotate, syscall.SIGHUP)
	go func() {
		for range rotate {
			_ = p.Reopen(ctx, os.Getenv("PUMP_TEST_ID"))
		}
	}()
	if err := p.Run(ctx); err != nil {
		log.Error("run", "error", err)
		return 1
	}
	return 0
}

func role(t testing.TB, name string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, roleKey+"="+name)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// run starts pumps in this process; they end with the test.
func run(t testing.TB, dir string) *pump.Pumps {
	t.Helper()
	return runTuned(t, dir, 0, 0)
}

func runTuned(t testing.TB, dir string, stall time.Duration, clientMax int) *pump.Pumps {
	t.Helper()
	p := tuned(t, dir, stall, clientMax)
	start(t, p)
	return p
}

func newPumps(t testing.TB, dir string) *pump.Pumps {
	t.Helper()
	return tuned(t, dir, 0, 0)
}

func tuned(t testing.TB, dir string, stall time.Duration, clientMax int) *pump.Pumps {
	t.Helper()
	p, err := pump.Tuned(dir, pump.Config{PipeSize: 1 << 20}, slog.New(slog.NewTextHandler(t.Output(), nil)), stall, clientMax, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// start returns a function that stops the pumps.
func start(t testing.TB, p *pump.Pumps) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	<-p.Resumed()
	return stop
}

func request(t testing.TB) *streamerv1.OpenIORequest {
	t.Helper()
	return &streamerv1.OpenIORequest{
		Container: &streamerv1.Container{Id: ident.New(), Name: "c", PodNamespace: "ns", PodName: "pod"},
		LogPath:   filepath.Join(t.TempDir(), "0.log"), MaxLogLineSize: 16384,
	}
}

func open(t testing.TB, p *pump.Pumps, r *streamerv1.OpenIORequest) *streamerv1.OpenIOResponse {
	t.Helper()
	got, err := p.Open(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// shim holds both ends of an output FIFO, as containerd's does.
type shim struct{ w, r *os.File }

func openShim(t testing.TB, path string) *shim {
	t.Helper()
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &shim{w, r}
	t.Cleanup(s.close)
	return s
}

func (s *shim) write(t testing.TB, text string) {
	t.Helper()
	if _, err := s.w.WriteString(text); err != nil {
		t.Error(err)
	}
}

func (s *shim) close() {
	_ = s.w.Close()
	_ = s.r.Close()
}

type record struct {
	stream, tag, text string
}

// records parses a CRI log strictly.
func records(t testing.TB, paths ...string) []record {
	t.Helper()
	var all []record
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 0 && raw[len(raw)-1] != '\n' {
			t.Fatalf("%s ends in a torn record", path)
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
			if len(raw) == 0 {
				break
			}
			r, err := parse(line)
			if err != nil {
				t.Fatalf("%s line %d: %v", path, i+1, err)
			}
			all = append(all, r)
		}
	}
	return all
}

func parse(line string) (record, error) {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) != 4 {
		return record{}, fmt.Errorf("torn: %.200q", line)
	}
	if _, err := time.Parse(time.RFC3339Nano, fields[0]); err != nil {
		return record{}, err
	}
	if s := fields[1]; s != "stdout" && s != "stderr" {
		return record{}, fmt.Errorf("stream %q", s)
	}
	if tag := fields[2]; tag != "P" && tag != "F" {
		return record{}, fmt.Errorf("tag %q", tag)
	}
	return record{fields[1], fields[2], fields[3]}, nil
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("no %s after 20 s", what)
		}
	}
}

var discard = slog.New(slog.DiscardHandler)
