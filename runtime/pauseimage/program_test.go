package pauseimage_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trivet-cri/trivet/runtime/pauseimage"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests need root, to make PID namespaces")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// start runs the program as the first process of a PID namespace, as nobody.
func start(t *testing.T) *exec.Cmd {
	t.Helper()
	program, err := pauseimage.Program(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "pause")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	// What is around a test's directory is for root alone.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	pause := exec.CommandContext(t.Context(), path)
	pause.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID, Credential: &syscall.Credential{Uid: 65535, Gid: 65535},
	}
	// Another test's fork may still have the file open for writing.
	until(t, "the program starts", func() bool {
		err := pause.Start()
		if err != nil && !strings.Contains(err.Error(), "text file busy") {
			t.Fatal(err)
		}
		if err != nil {
			again := exec.CommandContext(t.Context(), path)
			again.SysProcAttr, pause = pause.SysProcAttr, again
		}
		return err == nil
	})
	t.Cleanup(func() {
		if pause.ProcessState == nil {
			_ = pause.Process.Kill()
			_ = pause.Wait()
		}
	})
	until(t, "the program waits", func() bool { return waiting(t, pause) })
	return pause
}

// waiting tells whether the program is in the call that it should rest in.
func waiting(t *testing.T, pause *exec.Cmd) bool {
	t.Helper()
	call, _, _ := strings.Cut(read(t, pause, "syscall"), " ")
	return call == strconv.Itoa(unix.SYS_RT_SIGTIMEDWAIT)
}

func read(t *testing.T, pause *exec.Cmd, file string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pause.Process.Pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		runtime.Gosched()
	}
}

func TestExitsOnSignals(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			pause := start(t)
			if err := pause.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := pause.Wait(); err != nil {
				t.Errorf("exit status: %v", err)
			}
		})
	}
}

// Neither stopping nor any other signal ends it.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	pause := start(t)
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGCHLD, syscall.SIGSTOP} {
		if err := pause.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the program stops", func() bool { return strings.Contains(read(t, pause, "status"), "State:\tT") })
	if err := pause.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the program waits again", func() bool {
		return strings.Contains(read(t, pause, "status"), "State:\tS") && waiting(t, pause)
	})
	if err := pause.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := pause.Wait(); err != nil {
		t.Errorf("exit status: %v", err)
	}
}

// Orphans are reaped, whether they end before or after their parent.
func TestReaps(t *testing.T) {
	t.Parallel()
	pause := start(t)
	const killed = "read line; kill -9 $$"
	for name, script := range map[string]string{
		// The orphan outlives its parent.
		"adopted alive": "(read line; echo $line) <&3 & exit 0",
		// It is a zombie when its parent, which does not wait, is killed. It
		// must not end before the parent is a shell that knows of no child: the
		// first one would reap it.
		"adopted dead": "(read line) <&4 & exec sh -c '" + killed + "' <&3",
	} {
		input, feed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		held, release, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		parent := exec.CommandContext(t.Context(), "sh", "-c", script)
		parent.ExtraFiles = []*os.File{input, held}
		beside(t, pause, parent)
		if err := errors.Join(held.Close(), input.Close()); err != nil {
			t.Fatal(err)
		}
		if name == "adopted dead" {
			until(t, "the parent is another shell", func() bool {
				return read(t, parent, "cmdline") == "sh\x00-c\x00"+killed+"\x00"
			})
			if err := release.Close(); err != nil {
				t.Fatal(err)
			}
			until(t, "the child is a zombie", func() bool {
				return strings.Contains(strings.Join(children(t, parent.Process.Pid), " "), "Z")
			})
		} else if err := parent.Wait(); err != nil {
			t.Fatal(err)
		} else if got := children(t, pause.Process.Pid); len(got) != 1 {
			t.Fatalf("%s: children %v, want the orphan", name, got)
		}
		_, err = feed.WriteString("go\n")
		if err := errors.Join(err, feed.Close()); err != nil {
			t.Fatal(err)
		}
		if name == "adopted dead" {
			_ = parent.Wait() // killed
		}
		until(t, name+": no child is left", func() bool { return len(children(t, pause.Process.Pid)) == 0 })
		_ = release.Close()
	}
}

// beside starts a command in the program's PID namespace.
func beside(t *testing.T, pause, command *exec.Cmd) {
	t.Helper()
	var thread sync.WaitGroup
	var err error
	thread.Go(func() {
		runtime.LockOSThread() // ends here
		var fd int
		if fd, err = unix.Open(fmt.Sprintf("/proc/%d/ns/pid", pause.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		defer func() { _ = unix.Close(fd) }()
		if err = unix.Setns(fd, unix.CLONE_NEWPID); err == nil {
			err = command.Start()
		}
	})
	thread.Wait()
	if err != nil {
		t.Fatal(err)
	}
	// The namespace, and with it the program, does not end before this has been
	// waited for.
	t.Cleanup(func() {
		if command.ProcessState == nil {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	})
}

// children are the states of a process's children.
func children(t *testing.T, pid int) (states []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		// pid (name) state parent: the name may have blanks itself.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if fields[1] == strconv.Itoa(pid) {
			states = append(states, fields[0])
		}
	}
	return states
}

func TestSmall(t *testing.T) {
	t.Parallel()
	pause := start(t)
	status := read(t, pause, "status")
	match := regexp.MustCompile(`VmRSS:\s*(\d+) kB`).FindStringSubmatch(status)
	if match == nil {
		t.Fatalf("no memory in %q", status)
	}
	if kib, err := strconv.Atoi(match[1]); err != nil || kib > 64 {
		t.Errorf("resident memory is %s KiB", match[1])
	}
	t.Logf("resident memory %s KiB", match[1])
	for _, line := range strings.Split(read(t, pause, "maps"), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && strings.Contains(fields[1], "w") && strings.Contains(fields[1], "x") {
			t.Errorf("writable and executable: %s", line)
		}
	}
}

func TestExecutable(t *testing.T) {
	t.Parallel()
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		program, err := pauseimage.Program(arch)
		if err != nil {
			t.Fatal(err)
		}
		if len(program) > 1024 {
			t.Errorf("%s: %d bytes", arch, len(program))
		}
		file, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != machine || file.Type != elf.ET_EXEC || file.Class != elf.ELFCLASS64 || file.Data != elf.ELFDATA2LSB {
			t.Errorf("%s: header %+v", arch, file.FileHeader)
		}
		load, stack := file.Progs[0], file.Progs[1]
		if load.Type != elf.PT_LOAD || load.Flags != elf.PF_R|elf.PF_X || load.Filesz != uint64(len(program)) || load.Vaddr%load.Align != 0 {
			t.Errorf("%s: segment %+v", arch, load.ProgHeader)
		}
		if stack.Type != elf.PT_GNU_STACK || stack.Flags&elf.PF_X != 0 {
			t.Errorf("%s: stack %+v", arch, stack.ProgHeader)
		}
		if file.Entry < load.Vaddr || file.Entry >= load.Vaddr+load.Filesz || file.Entry%4 != 0 {
			t.Errorf("%s: entry %x", arch, file.Entry)
		}
	}
}
