package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Numbered is a container whose lines have a number and the machine's uptime
// as of their writing: what is lost, doubled, torn or out of order shows, and
// for how long the container could not write.
type Numbered struct {
	*Container
	Name    string
	streams []string
}

// NumberedKind is how a container writes.
type NumberedKind struct {
	Name string
	// Fast writes as fast as it can, and otherwise ten lines a second, in pieces.
	Fast bool
	// TTY gives it a terminal; without, it writes to both stdout and stderr.
	TTY bool
}

// NumberedKinds are all.
var NumberedKinds = []NumberedKind{{"fast", true, false}, {"fast-tty", true, true}, {"slow", false, false}, {"slow-tty", false, true}}

// Verdict is what is wrong with a numbered container's logs.
type Verdict struct {
	Loss
	Files int
	Stall time.Duration // the longest pause between two lines of its writer
}

// fastScript looks at the clock seldom, slowScript writes a line in two
// pieces. Both finish the line that they are at, unless the signal has
// interrupted its write to a full terminal: then it does not count.
const (
	fastScript = `if [ $((i%100)) = 0 ]; then read up rest < /proc/uptime; fi; say "$i $up" '\n' && i=$((i+1))`
	slowScript = `read up rest < /proc/uptime; say "$i " ''; sleep 0.05; say "$up" '\n'; sleep 0.05; i=$((i+1))`
)

// RunNumbered starts such a container.
func (p *Pod) RunNumbered(ctx context.Context, kind NumberedKind) (*Numbered, error) {
	say, streams := `say() { printf "$1$2"; printf "$1$2" >&2; }`, []string{"stdout", "stderr"}
	if kind.TTY {
		say, streams = `say() { printf "$1$2"; }`, streams[:1]
	}
	line := slowScript
	if kind.Fast {
		line = fastScript
	}
	script := fmt.Sprintf(`%s
stop=; trap 'stop=1' TERM; i=0
while [ -z "$stop" ]; do %s; done
say "end $i" '\n'`, say, line)
	container, err := p.Run(ctx, kind.Name, Shell(script), func(c *runtimeapi.ContainerConfig) { c.Tty = kind.TTY })
	return &Numbered{Container: container, Name: kind.Name, streams: streams}, err
}

// Finish stops the container and judges its logs, rotated ones included.
func (n *Numbered) Finish(ctx context.Context) (Verdict, error) {
	if err := n.Stop(ctx, time.Minute); err != nil {
		return Verdict{}, err
	}
	if _, err := n.AwaitExit(ctx); err != nil {
		return Verdict{}, err
	}
	return JudgeNumbered(n.LogPath, n.streams...)
}

// JudgeNumbered reads the logs at path, rotated ones included, of the streams.
func JudgeNumbered(path string, streams ...string) (Verdict, error) {
	files, err := logFiles(path)
	if err != nil {
		return Verdict{}, err
	}
	judges := make(map[string]*numberJudge)
	for _, stream := range streams {
		judges[stream] = &numberJudge{}
	}
	verdict := Verdict{Files: len(files)}
	for _, file := range files {
		if err := eachLogLine(file, func(line LogLine, err error) {
			if judge := judges[line.Stream]; err == nil && judge != nil {
				judge.piece(line)
			} else {
				verdict.Torn++
			}
		}); err != nil {
			return verdict, err
		}
	}
	for stream, judge := range judges {
		if !judge.ended || judge.rest != "" {
			return verdict, fmt.Errorf("log %s of %s does not end after line %d: %q follows", path, stream, judge.next, judge.rest)
		}
		verdict.Lines += judge.Lines
		verdict.Lost += judge.Lost
		verdict.Twice += judge.Twice
		verdict.Torn += judge.Torn
		verdict.Stall = max(verdict.Stall, judge.stall)
	}
	return verdict, nil
}

// logFiles are a log and its rotated ones, by the time of their first lines.
func logFiles(path string) ([]string, error) {
	files, err := filepath.Glob(path + ".*")
	if err != nil {
		return nil, fmt.Errorf("look for rotated logs: %w", err)
	}
	files = append(files, path)
	begins := make(map[string]time.Time)
	for _, file := range files {
		err := eachLogLine(file, func(line LogLine, _ error) { begins[file] = line.Time }, 1)
		if err != nil {
			return nil, err
		}
		if begins[file].IsZero() {
			begins[file] = time.Now() // empty: it has just been made
		}
	}
	slices.SortStableFunc(files, func(a, b string) int { return begins[a].Compare(begins[b]) })
	return files, nil
}

// eachLogLine reads a log of any size, at most limit lines of it. A torn end
// is an error of its line.
func eachLogLine(path string, line func(LogLine, error), limit ...int) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	reader := bufio.NewReaderSize(file, 1<<20)
	for n := 0; len(limit) == 0 || n < limit[0]; n++ {
		text, err := reader.ReadString('\n')
		if err != nil {
			if text != "" {
				line(LogLine{}, errors.New("it has no newline"))
			}
			return nil
		}
		line(parseLogLine(text[:len(text)-1]))
	}
	return nil
}

// numberJudge follows the numbers of one stream.
type numberJudge struct {
	Loss
	next  int
	rest  string // pieces of a line that has not ended yet
	up    time.Duration
	stall time.Duration
	ended bool
}

func (j *numberJudge) piece(line LogLine) {
	if line.Partial {
		j.rest += line.Text
		return
	}
	text := j.rest + line.Text
	j.rest = ""
	number, up, _ := strings.Cut(strings.TrimSuffix(text, "\r"), " ")
	if number == "end" {
		number, j.ended = up, true
		up = ""
	}
	n, err := strconv.Atoi(number)
	seconds, upErr := strconv.ParseFloat(up, 64)
	if err != nil || upErr != nil && !j.ended {
		j.Torn++
		return
	}
	switch {
	case n > j.next:
		j.Lost += n - j.next
	case n < j.next:
		j.Twice++
		return
	}
	j.next = n
	if j.ended {
		return
	}
	j.next++
	j.Lines++
	now := time.Duration(seconds * float64(time.Second))
	if j.Lines > 1 {
		j.stall = max(j.stall, now-j.up)
	}
	j.up = now
}
