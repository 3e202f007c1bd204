package stats_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"

	"github.com/trivet-cri/trivet/runtime/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const stat1 = "cache 9\nrss 1\ntotal_rss 300\ntotal_pgfault 40\ntotal_pgmajfault 5\ntotal_inactive_file 200\ntotal_swap 60\nhierarchical_memory_limit 9\n"

// ofVersion1 are the files of a cgroup /pod/c on a machine with version 1.
func ofVersion1() map[string]string {
	return map[string]string{
		"cpuacct/pod/c/cpuacct.usage":              "123456789\n",
		"pids/pod/c/pids.current":                  "7\n",
		"memory/pod/c/memory.usage_in_bytes":       "1000\n",
		"memory/pod/c/memory.limit_in_bytes":       "5000\n",
		"memory/pod/c/memory.memsw.limit_in_bytes": "5100\n",
		"memory/pod/c/memory.stat":                 stat1,
	}
}

const stall = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.01 total=3\n"

func ofVersion2() map[string]string {
	return map[string]string{
		"pod/c/cpu.stat":            "usage_usec 123\nuser_usec 100\nsystem_usec 23\nnr_periods 0\n",
		"pod/c/cpu.pressure":        stall,
		"pod/c/pids.current":        "7\n",
		"pod/c/memory.current":      "1000\n",
		"pod/c/memory.max":          "5000\n",
		"pod/c/memory.stat":         "anon 300\nfile 500\ninactive_file 200\npgfault 40\npgmajfault 5\n",
		"pod/c/memory.pressure":     stall,
		"pod/c/memory.swap.current": "60\n",
		"pod/c/memory.swap.max":     "100\n",
		"pod/c/io.pressure":         stall,
	}
}

const (
	memory = `"Memory":{"Usage":1000,"WorkingSet":800,"RSS":300,"Faults":40,"Major":5,"Available":4200,"Pressure":null}`
	swap   = `"Swap":{"Usage":60,"Available":40}`
	psi    = `{"Some":{"Avg10":1.5,"Avg60":0.25,"Avg300":0,"Total":12000},"Full":{"Avg10":0,"Avg60":0,"Avg300":0.01,"Total":3000}}`
)

func TestRead(t *testing.T) {
	t.Parallel()
	whole1 := `"CPU":{"Total":123456789,"Pressure":null},` + memory + `,` + swap + `,"IO":null,"Processes":7`
	whole2 := `"CPU":{"Total":123000,"Pressure":` + psi + `},` + strings.Replace(memory, `"Pressure":null`, `"Pressure":`+psi, 1) +
		`,` + swap + `,"IO":` + psi + `,"Processes":7`
	for name, test := range map[string]struct {
		v2     bool
		change map[string]string // "" removes the file
		want   string
		err    string
	}{
		"version 1": {want: whole1},
		"version 2": {v2: true, want: whole2},
		"no limit": {
			change: map[string]string{"memory/pod/c/memory.limit_in_bytes": "9223372036854771712", "memory/pod/c/memory.memsw.limit_in_bytes": "9223372036854771712"},
			want:   strings.NewReplacer(`"Available":4200`, `"Available":null`, `"Available":40`, `"Available":null`).Replace(whole1),
		},
		"no limit, version 2": {
			v2: true, change: map[string]string{"pod/c/memory.max": "max\n", "pod/c/memory.swap.max": "max\n"},
			want: strings.NewReplacer(`"Available":4200`, `"Available":null`, `"Available":40`, `"Available":null`).Replace(whole2),
		},
		"above the limit": {
			v2: true, change: map[string]string{"pod/c/memory.max": "10", "pod/c/memory.swap.max": "0"},
			want: strings.NewReplacer(`"Available":4200`, `"Available":0`, `"Available":40`, `"Available":0`).Replace(whole2),
		},
		"no swap accounting": {
			change: map[string]string{"memory/pod/c/memory.stat": strings.Replace(stat1, "total_swap 60\n", "", 1)},
			want:   strings.Replace(whole1, swap, `"Swap":null`, 1),
		},
		"no pressure": {
			v2: true, change: map[string]string{"pod/c/cpu.pressure": "", "pod/c/memory.pressure": "", "pod/c/io.pressure": ""},
			want: strings.ReplaceAll(whole2, psi, "null"),
		},
		"cpu has no full": {
			v2: true, change: map[string]string{"pod/c/cpu.pressure": strings.Split(stall, "\n")[0]},
			want: strings.Replace(whole2, `"Full":{"Avg10":0,"Avg60":0,"Avg300":0.01,"Total":3000}`, `"Full":null`, 1),
		},
		"no memory controller": {
			change: map[string]string{"memory/pod/c/memory.usage_in_bytes": ""},
			want:   strings.NewReplacer(memory, `"Memory":null`, swap, `"Swap":null`).Replace(whole1),
		},
		"inactive pages above the usage": {
			v2: true, change: map[string]string{"pod/c/memory.current": "150"},
			want: strings.NewReplacer(`"Usage":1000,"WorkingSet":800`, `"Usage":150,"WorkingSet":0`, `"Available":4200`, `"Available":5000`).Replace(whole2),
		},
		"broken cpu": {
			change: map[string]string{"cpuacct/pod/c/cpuacct.usage": "many"},
			want:   strings.Replace(whole1, `"CPU":{"Total":123456789,"Pressure":null}`, `"CPU":null`, 1), err: "cpuacct.usage",
		},
		"broken memory": {
			v2: true, change: map[string]string{"pod/c/memory.stat": "anon -1\n"},
			want: strings.Replace(whole2, strings.Replace(memory, `"Pressure":null`, `"Pressure":`+psi, 1), `"Memory":null`, 1), err: `"inactive_file"`,
		},
		"broken pressure": {
			v2: true, change: map[string]string{"pod/c/io.pressure": "some avg10=x"},
			want: strings.Replace(whole2, `"IO":`+psi, `"IO":null`, 1), err: "io.pressure",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := ofVersion1()
			if test.v2 {
				files = ofVersion2()
			}
			root := t.TempDir()
			for path, text := range test.change {
				files[path] = text
			}
			for path, text := range files {
				if text != "" {
					write(t, filepath.Join(root, path), text)
				}
			}
			usage, err := stats.NewCgroupsAt(root, test.v2).Read("/pod/c")
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error is %v, want one that says %q", err, test.err)
			}
			if usage.Time.IsZero() {
				t.Error("it has no time")
			}
			text, err := json.Marshal(usage)
			if err != nil {
				t.Fatal(err)
			}
			if _, got, _ := strings.Cut(string(text), ","); got != test.want+"}" {
				t.Errorf("read\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNoCgroup(t *testing.T) {
	t.Parallel()
	for _, v2 := range []bool{false, true} {
		cgroups := stats.NewCgroups(v2)
		if _, err := cgroups.Read("/trivet-nobody/has-this"); !errdefs.IsNotFound(err) {
			t.Errorf("version 2 is %t: error is %v", v2, err)
		}
		for _, path := range []string{"", "/", "..", "/../etc", "a/../.."} {
			if _, err := cgroups.Read(path); !errdefs.IsInvalidArgument(err) {
				t.Errorf("version 2 is %t, path %q: error is %v", v2, path, err)
			}
		}
	}
}

// TestOwnCgroup reads a cgroup of the kernel's, on whatever this machine has.
func TestOwnCgroup(t *testing.T) {
	t.Parallel()
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	v2 := err == nil
	name := "trivet-test-stats-" + filepath.Base(t.TempDir())
	root := "/sys/fs/cgroup"
	if !v2 {
		root = filepath.Join(root, "memory")
	}
	if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	})
	usage, err := stats.NewCgroups(v2).Read("/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if !v2 && (usage.Memory == nil || usage.Memory.Available != nil || usage.CPU != nil) || v2 && usage.CPU == nil {
		t.Errorf("read %+v", usage)
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for path, text := range ofVersion2() {
		write(t, filepath.Join(root, path), text)
	}
	one, err := stats.NewCgroupsAt(root, true).Read("pod/c")
	if err != nil {
		t.Fatal(err)
	}
	sum := stats.Sum([]stats.Usage{one, {}, one})
	text, _ := json.Marshal(sum)
	want := `"CPU":{"Total":246000,"Pressure":null},"Memory":{"Usage":2000,"WorkingSet":1600,"RSS":600,"Faults":80,"Major":10,"Available":null,"Pressure":null},"Swap":{"Usage":120,"Available":null},"IO":null,"Processes":14}`
	if _, got, _ := strings.Cut(string(text), ","); got != want || !sum.Time.Equal(one.Time) {
		t.Errorf("sum is %s, want %s", got, want)
	}
	if sum = stats.Sum(nil); sum != (stats.Usage{}) {
		t.Errorf("sum of nothing is %+v", sum)
	}
}
