package pump_test

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const benchLine = 100

// serveShim writes PUMP_TEST_BYTES of 100-byte lines to PUMP_TEST_FIFO, in
// chunks of PUMP_TEST_CHUNK bytes.
func serveShim() int {
	total, _ := strconv.Atoi(os.Getenv("PUMP_TEST_BYTES"))
	chunk, _ := strconv.Atoi(os.Getenv("PUMP_TEST_CHUNK"))
	w, err := os.OpenFile(os.Getenv("PUMP_TEST_FIFO"), os.O_WRONLY, 0)
	if err != nil {
		return 1
	}
	line := append(bytes.Repeat([]byte("x"), benchLine-1), '\n')
	data := bytes.Repeat(line, max(1, chunk/benchLine))
	for left := total; left > 0; left -= len(data) {
		if _, err := w.Write(data); err != nil {
			return 1
		}
	}
	return 0
}

// BenchmarkLog measures the pump, from the FIFO to the log: MB/s, and the
// processor time of this process for a GiB of output.
func BenchmarkLog(b *testing.B) {
	for _, chunk := range []int{benchLine, 32 << 10} {
		b.Run("chunk="+strconv.Itoa(chunk), func(b *testing.B) {
			p := run(b, b.TempDir())
			const total = 256 << 20
			b.SetBytes(total)
			var used time.Duration
			for b.Loop() {
				r := request(b)
				fifos := open(b, p, r)
				cmd := role(b, "shim", "PUMP_TEST_FIFO="+fifos.GetStdout(),
					"PUMP_TEST_BYTES="+strconv.Itoa(total), "PUMP_TEST_CHUNK="+strconv.Itoa(chunk))
				stderr := openShim(b, fifos.GetStderr())
				before := processor(b)
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				stderr.close()
				if drained, err := p.Close(b.Context(), r.GetContainer().GetId(), time.Minute); err != nil || !drained {
					b.Fatal(drained, err)
				}
				used += processor(b) - before
				_ = os.Remove(r.GetLogPath())
			}
			b.ReportMetric(used.Seconds()*float64(1<<30/total)/float64(b.N), "cpu-s/GiB")
		})
	}
}

func processor(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
